"""The configuration of pip with which `make test-images` builds images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.builder import pip_config


@pytest.mark.parametrize("option", ["constraint", "build-constraint"])
def test_a_machines_constraints_do_not_reach_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """The file is not in the container: pip would refuse to install anything.

    What says where packages come from is kept, and so are the folders with packages.
    """
    (packages := tmp_path / "packages").mkdir()
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("pip>0\n")
    machine = tmp_path / "machine.conf"
    machine.write_text(f"[global]\n{option} = {constraints}\nfind-links = {packages}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(machine))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    config, paths = pip_config(tmp_path)
    assert str(packages) in paths
    assert not [path for path in paths if path.startswith(str(constraints))]

    constraints.unlink()
    environ = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": str(config)}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "pip"],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(packages) in config.read_text()
