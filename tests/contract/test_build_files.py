"""Dockerfiles, the build context and shell scripts: style, pinning, and what each image holds."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from gunicorn.config import Config

from local.stack import ROOT
from tests.dockerfiles import (
    DOCKERFILES,
    IGNORED,
    copy_into,
    read_arg,
    read_image,
    read_instructions,
    read_stages,
)

SCRIPTS = sorted([*(ROOT / "knative").rglob("*.sh"), *(ROOT / "ui").glob("*.sh")])
DIGEST = re.compile(r"\S+:[\w.-]+@sha256:[0-9a-f]{64}")
PROGRAMS = Path(sys.executable).parent

EACH_IMAGE = pytest.mark.parametrize("part", DOCKERFILES)
EACH_FUNCTION = pytest.mark.parametrize("part", [part for part in DOCKERFILES if part != "ui"])


@pytest.mark.parametrize(
    "path", sorted(set(DOCKERFILES.values())), ids=lambda path: path.parent.name
)
def test_hadolint_finds_nothing(path: Path) -> None:
    """The Dockerfiles pass hadolint."""
    done = subprocess.run(
        [PROGRAMS / "hadolint", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    """The scripts pass shellcheck, which holds them to POSIX, and are executable."""
    done = subprocess.run(
        [PROGRAMS / "shellcheck", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert script.stat().st_mode & 0o111


def test_the_lock_file_of_npm_names_no_registry() -> None:
    """Any mirror will do: digests identify the packages. None of them may run a script."""
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages)
    settings = (ROOT / ".npmrc").read_text().splitlines()
    assert {"omit-lockfile-registry-resolved=true", "ignore-scripts=true"} <= set(settings)


@EACH_IMAGE
def test_base_images_are_pinned_by_digest(part: str) -> None:
    """The same Dockerfile builds on the same base tomorrow; a build argument can replace it."""
    stages = set()
    for base, _, stage in (
        rest.partition(" AS ") for keyword, rest in read_instructions(part) if keyword == "FROM"
    ):
        if base not in stages:
            name = re.fullmatch(r"\$\{(\w+)\}", base)
            assert name is not None, f"{base} can't be replaced by a build argument"
            assert DIGEST.fullmatch(read_arg(part, name[1])), base
        stages.add(stage)


@EACH_IMAGE
def test_images_run_the_local_stacks_command_without_root(part: str) -> None:
    """The start command is that of `make run`, so every test of it is one of the image too."""
    image = read_image(part)
    assert image.user == "10001:10001"
    if part == "ui":
        assert image.entrypoint == ["/app/ui/start.sh"]
        return
    assert image.entrypoint[:3] == ["python3", "-m", "gunicorn"]
    options = [*image.entrypoint[3:], *shlex.split(image.env.get("GUNICORN_CMD_ARGS", ""))]
    given = Config().parser().parse_args(options)
    assert given.config == f"functions/{part}/gunicorn.conf.py"


@EACH_FUNCTION
def test_the_code_comes_last(part: str) -> None:
    """A change of the code rebuilds layers of kilobytes, and not the one with the packages."""
    steps = read_instructions(part)
    kinds = [
        "functions" in rest
        for keyword, rest in steps
        if keyword in {"COPY", "RUN"} and ("/opt/kinora" in rest or "functions" in rest)
    ]
    assert kinds == sorted(kinds)
    assert any(kinds)


@EACH_IMAGE
def test_an_image_holds_its_own_code_and_no_other(part: str, tmp_path: Path) -> None:
    """No other function, no tests, and of the demo model the checkpoint without its training."""
    copy_into(part, tmp_path)
    if part == "ui":
        assert _names(tmp_path) == {"LICENSE", "ui"}
        return
    assert _names(tmp_path) == {"LICENSE", "functions"}
    # `submit`'s image also runs the set-up Job.
    extra = {"setup"} if part == "submit" else set()
    assert _names(tmp_path / "functions") == {"__init__.py", "shared", part} | extra
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(("test_", "tests"))]
    if part == "generate":
        assert _names(tmp_path / "functions" / "generate" / "demo") == {"checkpoint"}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_on_a_gpu_kernels_can_be_compiled() -> None:
    """Triton needs a C compiler and Python's headers at run time, on CUDA's base only."""
    last = read_stages("generate")[-1]
    (installs,) = [rest for keyword, rest in last if keyword == "RUN" and "apt-get" in rest]
    assert installs.startswith('if [ -n "${CUDA_VERSION:-}" ]; then')
    assert "g++ python3-dev" in installs


def test_the_build_context_is_what_the_dockerfiles_copy() -> None:
    """Everything else in the checkout, such as the tests and the demo's training, is ignored."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        source.partition("/")[0]
        for part in DOCKERFILES
        for keyword, rest in read_instructions(part)
        if keyword == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert "*" in lines
    # `copy_into` leaves out the same.
    assert {line.removeprefix("**/") for line in lines if line.startswith("**/")} == set(IGNORED)
