"""Reads the Dockerfiles: what each image will contain and start."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.stack import ROOT

SHARED_DOCKERFILE: Final = ROOT / "functions" / "Dockerfile"
# Each image's Dockerfile.
DOCKERFILES: Final = {
    "submit": SHARED_DOCKERFILE,
    "status": SHARED_DOCKERFILE,
    "dispatch": SHARED_DOCKERFILE,
    "generate": ROOT / "functions" / "generate" / "Dockerfile",
    "ui": ROOT / "ui" / "Dockerfile",
}
# File names that .dockerignore keeps out of every folder.
IGNORED: Final = ("__pycache__",)

Instruction = tuple[str, str]


@dataclass(frozen=True)
class Image:
    """An image as its Dockerfile describes it.

    Attributes:
        copied: pairs of source and target, as in COPY, without those from other stages.
        env: what ENV sets.
        entrypoint: the start command.
        folder: the working directory (WORKDIR).
        user: the user and group (USER).
    """

    copied: list[tuple[str, str]]
    env: dict[str, str]
    entrypoint: list[str]
    folder: str
    user: str


def build_args(part: str) -> dict[str, str]:
    """The build arguments without which the image of a part can't be built."""
    return {"FUNCTION": part} if DOCKERFILES[part] == SHARED_DOCKERFILE else {}


def read_instructions(part: str) -> list[Instruction]:
    """All instructions of a part's Dockerfile, with `build_args` filled in, one line each."""
    text = DOCKERFILES[part].read_text()
    for name, value in build_args(part).items():
        text = text.replace(f"${{{name}}}", value)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    split = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(keyword.upper(), rest) for keyword, rest in split]


def read_stages(part: str) -> list[list[Instruction]]:
    """The stages that end up in the image, base first; each begins with its FROM.

    Stages that only serve `COPY --from` are left out.
    """
    stages: list[list[Instruction]] = []
    for keyword, rest in read_instructions(part):
        if keyword == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((keyword, rest))
    by_name = {name: stage for stage in stages for _, name in [_from(stage)] if name}
    chain = [stages[-1]]
    while (base := _from(chain[0])[0]) in by_name:
        chain.insert(0, by_name[base])
    return chain


def _from(stage: list[Instruction]) -> tuple[str, str]:
    """The base and the name of a stage; the name may be empty."""
    base, _, name = stage[0][1].partition(" AS ")
    return base, name


def read_arg(part: str, name: str) -> str:
    """The default of a build argument.

    Raises:
        KeyError: it has none.
    """
    args = [rest for keyword, rest in read_instructions(part) if keyword == "ARG" and "=" in rest]
    return dict(arg.split("=", 1) for arg in args)[name]


def read_image(part: str) -> Image:
    """The image of a part."""
    steps = [step for stage in read_stages(part) for step in stage]
    values = dict(steps)
    copied = [
        (source, target)
        for keyword, rest in steps
        if keyword == "COPY" and not rest.startswith("--from")
        for *sources, target in [rest.split()]
        for source in sources
    ]
    env = dict(
        pair.split("=", 1) for keyword, rest in steps if keyword == "ENV" for pair in rest.split()
    )
    entrypoint = json.loads(values["ENTRYPOINT"])
    return Image(copied, env, entrypoint, values["WORKDIR"], values["USER"])


def copy_into(part: str, folder: Path) -> None:
    """Copy into `folder` what the image of a part has in its working directory."""
    ignored = shutil.ignore_patterns(*IGNORED)
    for source, target in read_image(part).copied:
        origin = ROOT / source
        if origin.is_dir():
            shutil.copytree(origin, folder / target, ignore=ignored, dirs_exist_ok=True)
        else:
            # COPY takes a target that ends with a slash for a folder.
            place = folder / target
            place = place / origin.name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, place)
