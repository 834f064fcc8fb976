"""The engine's choice of an attention kernel: right results first, then speed."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from functions.generate.engine.messages import Shape
from functions.generate.engine.model import attention_probe, kernel_choice
from functions.generate.engine.model.attention_kernels import AttentionKernel, attend
from functions.generate.engine.model.attention_probe import (
    Attention,
    find_problem,
    tokens_to_time,
)
from functions.generate.engine.model.kernel_choice import UnusableKernel, choose_kernel, fastest
from functions.generate.engine.model.ranks import Ranks
from functions.shared.config import Settings
from tests import two_ranks

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
CPU = torch.device("cpu")
# Mochi's head size; two of its heads.
FP32 = Attention(2, 128, 64, CPU, torch.float32)
BF16 = Attention(2, 128, 64, CPU, torch.bfloat16)
CUDNN, FLASH3, FLASH, EFFICIENT, MATH = AttentionKernel


@pytest.mark.parametrize("attention", [FP32, BF16])
def test_right_kernels_have_no_problem(attention: Attention) -> None:
    """In fp32 and bf16, at Mochi's head size."""
    assert find_problem(FLASH, attention) is None
    assert find_problem(MATH, attention) is None


def test_a_kernel_that_is_not_here_says_so() -> None:
    """The wheel of FlashAttention 3 is not installed, and a CPU has no cuDNN."""
    assert find_problem(FLASH3, BF16) == "absent"
    problem = find_problem(CUDNN, BF16)
    assert problem is not None
    assert problem.startswith("failing: RuntimeError: ")


@pytest.mark.parametrize("attention", [FP32, BF16])
@pytest.mark.parametrize("fault", ["a token too few", "no scale", "no number"])
def test_a_wrong_kernel_is_not_used(
    attention: Attention, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that differs from that of math, or is not finite; math is used in its place."""

    def faulty(kernel: AttentionKernel, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if fault == "a token too few":
            return attend(kernel, query, key[:, :, :-1], value[:, :, :-1])
        result = attend(kernel, query * 1.1, key, value)
        return result if fault == "no scale" else result * float("nan")

    monkeypatch.setattr(attention_probe, "attend", faulty)
    problem = find_problem(FLASH, attention)
    assert problem is not None
    assert problem.startswith("wrong: it differs from math by ")
    choice = choose_kernel(attention, Ranks())
    assert (choice.kernel, choice.rejected) == (MATH, {"flash": problem})


def test_a_cpu_always_chooses_the_same_kernel() -> None:
    """Its only one besides math: however busy the machine is, frames stay the same."""
    choice = choose_kernel(FP32, Ranks())
    assert (choice.kernel, choice.rejected) == (FLASH, {})
    assert choice.milliseconds is not None
    assert choice.milliseconds > 0


def test_a_kernel_must_be_clearly_faster_than_one_that_is_preferred() -> None:
    """Times that vary by a few per cent do not change the choice between two starts."""
    assert fastest({CUDNN: 40.0, FLASH3: 39.0, FLASH: 75.0}) is CUDNN
    assert fastest({CUDNN: 41.0, FLASH3: 40.0, FLASH: 75.0}) is CUDNN
    assert fastest({CUDNN: 40.0, FLASH3: 36.0, FLASH: 75.0}) is FLASH3
    assert fastest({}) is MATH


def test_every_slower_kernel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its time; those that a GPU lacks, with the reason."""
    candidates = {"cpu": (MATH, FLASH, FLASH3, EFFICIENT)}
    monkeypatch.setattr(kernel_choice, "CANDIDATES", candidates)
    monkeypatch.setattr(
        kernel_choice, "measure_milliseconds", lambda kernel, _: {MATH: 120.0, FLASH: 40.0}[kernel]
    )
    choice = choose_kernel(FP32, Ranks())
    assert (choice.kernel, choice.milliseconds) == (FLASH, 40.0)
    assert choice.rejected["math"] == "slower: 120 ms"
    assert choice.rejected["flash3"] == "absent"
    assert choice.rejected["efficient"].startswith("failing: RuntimeError: ")


def test_a_forced_kernel_is_used_or_fails_the_start() -> None:
    """However slow it is; the error names the setting and the reason."""
    assert choose_kernel(FP32, Ranks(), MATH).kernel is MATH
    with pytest.raises(UnusableKernel, match=r"^ENGINE_ATTENTION is flash3, which is absent here$"):
        choose_kernel(FP32, Ranks(), FLASH3)


def test_the_setting_has_every_kernel() -> None:
    """The functions' settings import no torch, so they name the kernels themselves."""
    field = Settings.model_fields["engine_attention"]
    literal = next(one for one in get_args(field.annotation) if one is not type(None))
    assert list(get_args(literal)) == [kernel.value for kernel in AttentionKernel]


def test_kernels_are_timed_with_the_longest_video_to_expect() -> None:
    """And a text of 256 tokens: 44,776 for the longest of Mochi."""
    shapes = [Shape(848, 480, 31), Shape(848, 480, 163)]
    assert tokens_to_time(shapes, CPU) == 44_520 + 256
    assert tokens_to_time([], CPU) > 256


@pytest.mark.parametrize(
    ("forced", "first", "second"),
    [
        (["math", None], "math True", "math False"),
        ([None, "math"], "flash True", "flash False"),
        (["flash3", None], "UnusableKernel: ", "PeerFailed: "),
    ],
)
def test_both_ranks_use_the_first_ones_kernel(
    forced: list[str | None], first: str, second: str, tmp_path: Path
) -> None:
    """Whatever the second would choose; if the first has none, neither waits."""
    two_ranks.run(two_ranks.save_kernels, forced, tmp_path)
    assert (tmp_path / "kernel-0").read_text().startswith(first)
    assert (tmp_path / "kernel-1").read_text().startswith(second)
