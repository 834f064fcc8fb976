"""The engine's interface in the HTTP process, without a model."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from functions.generate.engine.parent.engine import Engine
from functions.shared.errors import EngineCrashed
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest


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
        assert not engine.wait(60)
        assert engine.failure is not None
        assert engine.failure.startswith("no/such/folder: no such folder")
        assert "\n" not in engine.failure
        request = ResolvedRequest.resolve(VideoRequest(prompt="x"), load_profile("demo"), "a", "b")
        with pytest.raises(EngineCrashed, match="not ready"):
            engine.render(request, "b", Path("unused"), lambda _: None, threading.Event())
    finally:
        engine.close()


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
