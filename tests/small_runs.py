"""Small runs of pytest, for tests of how tests run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

# The plugins of this repository, and none of those that are installed but for pytest-xdist.
_PLUGINS: Final = ("xdist", "tests.worker_processes", "tests.time_limits")


def small_run(folder: Path, *options: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs the tests of `folder`, to be started in `ROOT`, and its environment."""
    plugins = [word for name in ("no:cacheprovider", *_PLUGINS) for word in ("-p", name)]
    argv = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", f"--rootdir={folder}"]
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return [*argv, *plugins, *options, str(folder)], environ
