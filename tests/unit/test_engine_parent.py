"""The engine's interface in the HTTP process, without a model."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from functions.generate.engine.messages import EngineConfig
from functions.generate.engine.parent import group_supervisor
from functions.generate.engine.parent.engine import Engine
from functions.generate.engine.parent.group_supervisor import GroupSupervisor
from functions.generate.engine.parent.scratch import ScratchFolder
from functions.shared.errors import EngineCrashed
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from tests.patience import scaled


def test_the_http_process_imports_nothing_of_the_model() -> None:
    """Importing the engine takes neither the seconds nor the memory of torch."""
    code = (
        "import sys, functions.generate.engine.parent.engine as _; "
        "heavy = {'torch', 'diffusers', 'transformers', 'av', 'numpy', 'PIL', "
        "'functions.generate.engine.model'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_missing_checkpoint_is_a_failure_in_one_line() -> None:
    """An engine that can't load says why, never becomes ready, and refuses to render."""
    engine = Engine("no/such/folder", hang_seconds=60)
    engine.start()
    try:
        assert not engine.wait(scaled(60))
        assert engine.failure is not None
        assert engine.failure.startswith("no/such/folder: no such folder")
        assert "\n" not in engine.failure
        request = ResolvedRequest.resolve(VideoRequest(prompt="x"), load_profile("demo"), "a", "b")
        with pytest.raises(EngineCrashed, match="not ready"):
            engine.render(request, "b", Path("unused"), lambda _: None, threading.Event())
    finally:
        engine.close()


def test_the_supervisor_survives_any_error_before_a_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what happened, tries again, and starts the engine once that works."""
    monkeypatch.setattr(group_supervisor, "FIRST_BACKOFF_SECONDS", 0.01)
    errors = iter([ValueError("invalid literal:\n'12 GPUs'"), KeyError("x")])
    seen: list[str | None] = []
    failed = threading.Event()

    def configure() -> EngineConfig:
        seen.append(supervisor.failure)
        error = next(errors, None)
        if error is None:
            return EngineConfig("no/such/folder", ranks=1, compiled=None, warm_up=())
        raise error

    supervisor = GroupSupervisor("a model", configure, 60, failed.set)
    supervisor.start()
    try:
        assert failed.wait(scaled(60))
    finally:
        supervisor.close()
    assert seen == [
        None,
        "The engine could not start: ValueError: invalid literal:",
        "The engine could not start: KeyError: 'x'",
    ]
    assert supervisor.failure is not None
    assert supervisor.failure.startswith("no/such/folder: no such folder")


def test_leftovers_of_dead_processes_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At the next start, and only these: the folder of an engine that runs stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os; from functions.generate.engine.parent.scratch import ScratchFolder; "
        "scratch = ScratchFolder(); (scratch.path / 'video.mp4').touch(); os._exit(9)"
    )
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environ, check=False)
    (leftover,) = tmp_path.iterdir()
    assert (leftover / "video.mp4").exists()
    running = ScratchFolder()
    assert list(tmp_path.iterdir()) == [running.path]
    other = ScratchFolder()
    assert set(tmp_path.iterdir()) == {running.path, other.path}
    for scratch in (running, other, other):
        scratch.remove()
    assert not list(tmp_path.iterdir())


def test_closing_is_idempotent() -> None:
    """An engine can be closed before it is started, and twice; it can't be started after that."""
    engine = Engine("no/such/folder", hang_seconds=60)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError):
        engine.start()


def test_closing_while_loading_kills_the_child() -> None:
    """A server that is stopped while its model loads does not wait for it."""
    engine = Engine("functions/generate/demo/checkpoint", hang_seconds=60)
    engine.start()
    engine.close()
    assert not engine.ready
    assert engine.failure is None
