"""The engine's choice of the decoder's memory format: right frames first, then speed."""

from __future__ import annotations

import copy
from collections.abc import Generator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from diffusers import AutoencoderKLMochi
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d
from torch import Tensor

from functions.generate.engine.messages import Shape
from functions.generate.engine.model import decoder_format
from functions.generate.engine.model.decoder_format import (
    DecoderFormat,
    FormatChoice,
    UnusableFormat,
    choose_format,
    draw_latents,
)
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.streaming_decode import StreamingDecoder
from functions.generate.engine.parent.engine import Engine
from functions.shared.config import Settings
from tests import two_ranks
from tests.demo_engine import DEMO, HANG_SECONDS, START_SECONDS, render_small

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
CPU = torch.device("cpu")
CONTIGUOUS, CHANNELS_LAST = DecoderFormat


class FaultyDecoder(StreamingDecoder):
    """Whatever it decodes with channels last goes wrong."""

    fault = ""

    def use_format(self, memory_format: torch.memory_format) -> None:
        """See `StreamingDecoder.use_format`."""
        super().use_format(memory_format)
        self._faulty = memory_format is torch.channels_last_3d

    def decode(self, latents: Tensor) -> Generator[Tensor]:
        """See `StreamingDecoder.decode`."""
        if self._faulty and self.fault == "none":
            raise RuntimeError("no engine for this convolution\nat line 1")
        for chunk in super().decode(latents):
            yield chunk.flip(3) if self._faulty else chunk  # red and blue are exchanged


@pytest.fixture(scope="module")
def vae() -> Any:
    """The demo model's own, in bf16 as on GPUs."""
    vae: Any = AutoencoderKLMochi.from_pretrained(DEMO / "vae", dtype=torch.bfloat16)
    return vae.eval()


@pytest.fixture
def on_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure on CPUs as on GPUs."""
    monkeypatch.setattr(decoder_format, "MEASURED_ON", {"cpu"})


def choose(
    vae: Any, forced: DecoderFormat | None = None, decoder: Any = StreamingDecoder
) -> FormatChoice:
    """The choice for a copy of `vae`."""
    latents = draw_latents(vae, [Shape(96, 64, 7)], CPU)
    return choose_format(decoder(copy.deepcopy(vae)), latents, Ranks(), forced)


def test_a_cpu_always_chooses_the_same_format(vae: Any) -> None:
    """Nothing is measured: however busy the machine is, frames stay the same."""
    assert choose(vae) == FormatChoice(CONTIGUOUS)
    assert choose(vae, CONTIGUOUS) == FormatChoice(CONTIGUOUS)


@pytest.mark.usefixtures("on_cpus")
def test_both_formats_are_decoded_and_timed(vae: Any) -> None:
    """The frames agree, so the slower format is rejected for its time, which is told."""
    choice = choose(vae)
    (other,) = {CONTIGUOUS, CHANNELS_LAST} - {choice.format}
    assert choice.milliseconds is not None
    assert choice.milliseconds > 0
    assert list(choice.rejected) == [other]
    reason, milliseconds, unit = choice.rejected[other].split()
    assert (reason, unit) == ("slower:", "ms")
    assert float(milliseconds) > 0


@pytest.mark.usefixtures("on_cpus")
def test_channels_last_must_be_clearly_faster(vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that vary by a few per cent do not change the choice between two starts."""
    times = {CONTIGUOUS: 40.0, CHANNELS_LAST: 38.5}
    real = decoder_format.measure_format
    monkeypatch.setattr(
        decoder_format, "measure_format", lambda *given: (real(*given)[0], times[given[2]])
    )
    assert choose(vae) == FormatChoice(CONTIGUOUS, 40, {CHANNELS_LAST: "slower: 38.5 ms"})
    times[CHANNELS_LAST] = 25
    assert choose(vae) == FormatChoice(CHANNELS_LAST, 25, {CONTIGUOUS: "slower: 40 ms"})


@pytest.mark.usefixtures("on_cpus")
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("colours", "wrong: its frames differ by "),
        ("none", "failing: RuntimeError: no engine for this convolution"),
    ],
)
def test_a_format_with_wrong_frames_is_not_used(
    fault: str, problem: str, vae: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast it is; if it is forced, the start fails with the setting and the reason."""
    monkeypatch.setattr(FaultyDecoder, "fault", fault)
    choice = choose(vae, decoder=FaultyDecoder)
    assert choice.format is CONTIGUOUS
    assert choice.rejected[CHANNELS_LAST].startswith(problem)
    with pytest.raises(
        UnusableFormat, match=f"ENGINE_DECODER_FORMAT is channels_last_3d, which is {problem}"
    ):
        choose(vae, CHANNELS_LAST, FaultyDecoder)


def test_convolutions_compute_in_the_format(vae: Any) -> None:
    """Their weights and results have it in every chunk, and the first format can be restored."""
    vae = copy.deepcopy(vae)
    decoder, agree = StreamingDecoder(vae), list[bool]()
    wanted = torch.contiguous_format

    def note(module: Any, _: Any, result: Tensor) -> None:
        both = (result, module.weight)
        agree.append(all(one.is_contiguous(memory_format=wanted) for one in both))

    for one in vae.decoder.modules():
        if isinstance(one, CogVideoXCausalConv3d):
            one.conv.register_forward_hook(note)
    latents = torch.randn(1, 12, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    frames = []
    for wanted in (torch.contiguous_format, torch.channels_last_3d, torch.contiguous_format):
        decoder.use_format(wanted)
        frames.append(torch.cat(list(decoder.decode(latents))))
    # Six convolutions, three chunks of five latent frames, three times.
    assert agree == [True] * (6 * 3 * 3)
    assert torch.equal(frames[0], frames[2])
    difference = (frames[0].float() - frames[1].float()).abs()
    assert difference.max() <= 5
    assert difference.mean() < 1


def test_a_sixth_of_a_chunk_is_measured(vae: Any) -> None:
    """Of the largest size to expect, whatever its length; or of some size, if none is known."""
    assert draw_latents(vae, [Shape(848, 480, 163), Shape(64, 64, 7)], CPU).shape == (
        (1, 12, 2, 30, 35)
    )
    assert draw_latents(vae, [Shape(16, 16, 7)], CPU).shape == (1, 12, 2, 1, 1)
    assert draw_latents(vae, [], CPU).shape == (1, 12, 2, 4, 4)


def test_the_setting_has_every_format() -> None:
    """The functions' settings import no torch, so they name the formats themselves."""
    field = Settings.model_fields["engine_decoder_format"]
    literal = next(one for one in get_args(field.annotation) if one is not type(None))
    assert list(get_args(literal)) == [one.value for one in DecoderFormat]


@pytest.mark.parametrize(
    ("forced", "first", "second"),
    [
        ([CHANNELS_LAST, CONTIGUOUS], "channels_last_3d", "channels_last_3d"),
        ([None, CHANNELS_LAST], "contiguous_format", "contiguous_format"),
        (["faulty", None], "UnusableFormat: ", "PeerFailed: "),
    ],
)
def test_both_ranks_use_the_first_ones_format(
    forced: list[str | None], first: str, second: str, tmp_path: Path
) -> None:
    """Whatever the second would choose; if the first fails, the second does not wait."""
    two_ranks.run(two_ranks.save_formats, forced, tmp_path)
    assert (tmp_path / "format-0").read_text().startswith(first)
    assert (tmp_path / "format-1").read_text().startswith(second)


@pytest.mark.usefixtures("forked_engines")
def test_a_video_says_which_format_was_forced(tmp_path: Path) -> None:
    """From the engine's setting to the report."""
    engine = Engine(str(DEMO), hang_seconds=HANG_SECONDS, decoder_format=CHANNELS_LAST.value)
    engine.start()
    try:
        assert engine.wait(START_SECONDS), engine.failure
        report = render_small(engine, tmp_path).engine
    finally:
        engine.close()
    assert report.decoder_format == "channels_last_3d"
    assert (report.decoder_ms or 0) > 0
    assert report.decoder_rejected == {}
