"""How many processes make a video together."""

from __future__ import annotations

from pathlib import Path

import pytest

from functions.generate.engine.devices import TooManyRanks, choose_ranks
from functions.generate.engine.process import Engine


def test_a_machine_without_gpus_has_one_process(tmp_path: Path) -> None:
    """Unless its operator asks for two."""
    assert choose_ranks(None, tmp_path) == 1
    assert choose_ranks(2, tmp_path) == 2


def test_the_device_files_of_gpus_make_torch_the_judge(tmp_path: Path) -> None:
    """A driver without a GPU that torch can use is one process too."""
    (tmp_path / "nvidia0").touch()
    assert choose_ranks(None, tmp_path) in (1, 2)


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
