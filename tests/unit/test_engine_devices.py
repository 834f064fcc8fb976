"""How many processes make a video together."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from functions.generate.engine.model.devices import NoGpu, require_gpu
from functions.generate.engine.parent.devices import TooManyRanks, choose_ranks
from functions.generate.engine.parent.engine import Engine


def test_a_machine_without_gpus_has_one_process(tmp_path: Path) -> None:
    """Unless its operator asks for two."""
    assert choose_ranks(None, tmp_path) == 1
    assert choose_ranks(2, tmp_path) == 2


def test_the_device_files_of_gpus_make_torch_the_judge(tmp_path: Path) -> None:
    """A driver without a GPU that torch can use is one process too."""
    (tmp_path / "nvidia0").touch()
    assert choose_ranks(None, tmp_path) in (1, 2)


def test_a_model_that_needs_a_gpu_is_told_why_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What torch says of the driver, in one line; else that it finds none, or is not built so."""

    def too_old() -> bool:
        warnings.warn("The NVIDIA driver\non your system is too old.", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    with pytest.raises(NoGpu, match=r"one: The NVIDIA driver on your system is too old\."):
        require_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for built, reason in (("12.8", "it finds none"), (None, "this build of it is for CPUs")):
        monkeypatch.setattr(torch.version, "cuda", built)
        with pytest.raises(NoGpu, match=reason):
            require_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_gpu()


def test_four_ranks_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """There is nothing that four processes could share; the engine never gets ready."""
    with pytest.raises(TooManyRanks, match=r"ENGINE_RANKS is 4.*Set ENGINE_RANKS to 1 or 2"):
        choose_ranks(4, tmp_path)
    engine = Engine("functions/generate/demo/checkpoint", hang_seconds=60, ranks=4)
    engine.start()
    try:
        assert not engine.wait(60)
        assert engine.failure is not None
        assert engine.failure.startswith("ENGINE_RANKS is 4")
        assert "\n" not in engine.failure
    finally:
        engine.close()
