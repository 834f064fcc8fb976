"""How many ranks render a video together."""

from __future__ import annotations

from pathlib import Path

import pytest

from functions.generate.engine.parent.engine import Engine
from functions.generate.engine.parent.rank_count import TooManyRanks, choose_rank_count
from tests.patience import scaled


def test_a_machine_without_gpus_has_one_rank(tmp_path: Path) -> None:
    """Unless the operator configures two."""
    assert choose_rank_count(None, tmp_path) == 1
    assert choose_rank_count(2, tmp_path) == 2


def test_a_driver_without_a_usable_gpu_gives_one_rank(tmp_path: Path) -> None:
    """A GPU's device file makes the parent ask torch, which may be unable to use the GPU."""
    (tmp_path / "nvidia0").touch()
    assert choose_rank_count(None, tmp_path) in (1, 2)


def test_four_ranks_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """Four processes can't share a video; the engine never becomes ready."""
    with pytest.raises(TooManyRanks, match=r"ENGINE_RANKS is 4.*Set ENGINE_RANKS to 1 or 2"):
        choose_rank_count(4, tmp_path)
    engine = Engine("functions/generate/demo/checkpoint", hang_seconds=60, ranks=4)
    engine.start()
    try:
        assert not engine.wait(scaled(60))
        assert engine.failure is not None
        assert engine.failure.startswith("ENGINE_RANKS is 4")
        assert "\n" not in engine.failure
    finally:
        engine.close()
