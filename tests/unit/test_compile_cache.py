"""Where torch keeps what it has compiled."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from functions.generate.engine.model import compile_cache
from functions.generate.engine.model.compile_cache import cache_key, use_compile_cache
from functions.shared.timestamps import DAY_SECONDS


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores torch's settings after the test."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "unset")


def test_processes_of_one_kind_share_a_folder(tmp_path: Path) -> None:
    """In which torch keeps everything."""
    folder = use_compile_cache(tmp_path / "new", "NVIDIA H100")
    assert folder is not None
    assert folder.is_dir()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    assert Path(os.environ["TRITON_CACHE_DIR"]).parent == folder
    assert use_compile_cache(tmp_path / "new", "NVIDIA H100") == folder


def test_what_invalidates_it_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another GPU, another version of a package, and other code."""
    keys = [cache_key("NVIDIA H100"), cache_key("NVIDIA H200")]
    for package in ("torch", "triton", "diffusers"):
        with monkeypatch.context() as patched:
            patched.setattr(
                compile_cache, "version", lambda name, package=package: str(name == package)
            )
            keys.append(cache_key("NVIDIA H100"))
    (tmp_path / "compile_cache.py").write_text("# other code")
    with monkeypatch.context() as patched:
        patched.setattr(compile_cache, "__file__", str(tmp_path / "compile_cache.py"))
        keys.append(cache_key("NVIDIA H100"))
    assert len(set(keys)) == len(keys)
    assert cache_key("NVIDIA H100") == keys[0]


def test_folders_that_nobody_used_for_a_month_are_removed(tmp_path: Path) -> None:
    """Those of older versions; each start counts as use, and other files stay."""
    month_ago = time.time() - 31 * DAY_SECONDS
    own = use_compile_cache(tmp_path, "CPU")
    assert own is not None
    for name in ("compiled-old", "weights", "compiled-recent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "entry").touch()
    for folder in (own, tmp_path / "compiled-old", tmp_path / "weights"):
        os.utime(folder, (month_ago, month_ago))
    assert use_compile_cache(tmp_path, "CPU") == own
    assert {path.name for path in tmp_path.iterdir()} == {own.name, "weights", "compiled-recent"}


def test_a_folder_that_can_not_be_written_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The start compiles everything, and one line of the log says why."""
    (tmp_path / "file").touch()
    assert use_compile_cache(tmp_path / "file", "CPU") is None
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "unset"
    assert "compiles everything" in caplog.text
