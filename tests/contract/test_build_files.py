"""Dockerfiles and shell scripts are as their linters, and a cluster, want them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from local.stack import ROOT
from tests.dockerfiles import LEFT_OUT, PARTS, instructions, read_arg, read_image

SCRIPTS = sorted([*(ROOT / "knative").rglob("*.sh"), *(ROOT / "ui").glob("*.sh")])
DIGEST = re.compile(r"\S+:[\w.-]+@sha256:[0-9a-f]{64}")


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@pytest.mark.parametrize("part", PARTS)
def test_hadolint_finds_nothing(part: str) -> None:
    """The Dockerfiles follow the rules of the trade."""
    done = subprocess.run(
        [_program("hadolint"), PARTS[part]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    """The scripts run in every POSIX shell."""
    done = subprocess.run(
        [_program("shellcheck"), script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert script.stat().st_mode & 0o111, "it is called as a program"


@pytest.mark.parametrize("part", PARTS)
def test_bases_are_pinned_to_their_content(part: str) -> None:
    """The same Dockerfile makes the same image tomorrow."""
    steps = instructions(PARTS[part])
    stages = set()
    for base, _, stage in (rest.partition(" AS ") for word, rest in steps if word == "FROM"):
        if base not in stages:
            name = re.fullmatch(r"\$\{(\w+)\}", base)
            assert name is not None, f"{base} can't be replaced by a build argument"
            assert DIGEST.fullmatch(read_arg(part, name[1])), base
        stages.add(stage)


@pytest.mark.parametrize("part", PARTS)
def test_images_start_what_the_local_stack_starts(part: str) -> None:
    """Not as root, and with the very same command, so that every test is one of the image too."""
    image = read_image(part)
    assert image.user == "10001:10001"
    if part == "ui":
        assert image.entrypoint == ["/app/ui/start.sh"]
    else:
        config = f"functions/{part}/gunicorn.conf.py"
        assert image.entrypoint == ["python3", "-m", "gunicorn", "-c", config]


@pytest.mark.parametrize("part", [part for part in PARTS if part != "ui"])
def test_the_code_comes_last(part: str) -> None:
    """A change of the code makes a layer of kilobytes anew, and not the one with the packages."""
    steps = instructions(PARTS[part])
    places = [number for number, (word, rest) in enumerate(steps) if word in {"COPY", "RUN"}
              and ("/opt/kinora" in rest or "functions" in rest)]  # fmt: skip
    kinds = ["functions" in steps[number][1] for number in places]
    assert kinds == sorted(kinds)
    installs = next(rest for word, rest in steps if word == "RUN" and "pip install" in rest)
    assert "--constraint constraints.txt" in installs


@pytest.mark.parametrize("part", [part for part in PARTS if part != "ui"])
def test_images_install_their_own_packages_only(part: str) -> None:
    """Each function has an extra in pyproject.toml, and its Dockerfile installs that one."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert part in extras
    reads = "".join(rest for word, rest in instructions(PARTS[part]) if word == "RUN")
    assert re.findall(r"optional-dependencies'\]\['(\w+)'\]", reads) == [part]


def test_on_a_gpu_kernels_can_be_compiled() -> None:
    """Triton needs a C compiler and Python's headers where it runs, and only there."""
    steps = instructions(PARTS["generate"])
    last = max(number for number, (word, _) in enumerate(steps) if word == "FROM")
    (installs,) = [rest for word, rest in steps[last:] if word == "RUN" and "apt-get" in rest]
    assert installs.startswith('if [ -n "${CUDA_VERSION:-}" ]; then')
    assert "g++ python3-dev" in installs


def test_what_is_left_out_is_left_out_of_the_images() -> None:
    """The clean folders of the tests hold what the images hold."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line.rpartition("/")[2] for line in lines if "/" in line} == set(LEFT_OUT)
