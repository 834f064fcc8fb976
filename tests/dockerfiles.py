"""What the Dockerfiles say, as data."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from local.stack import ROOT

PARTS = {
    **{name: ROOT / "functions" / name / "Dockerfile"
       for name in ("submit", "status", "dispatch", "generate")},
    "ui": ROOT / "ui" / "Dockerfile",
}  # fmt: skip
# What .dockerignore leaves out of what is copied.
LEFT_OUT = ("__pycache__",)


@dataclass(frozen=True)
class Image:
    """The last stage of a Dockerfile.

    Attributes:
        copied: pairs of source and target, as in COPY; those from other stages are left out.
        env: what ENV sets.
        entrypoint: the start command.
        folder: where it starts (WORKDIR).
        user: as whom.
    """

    copied: list[tuple[str, str]]
    env: dict[str, str]
    entrypoint: list[str]
    folder: str
    user: str


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, without comments, each on one line."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    split = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, rest in split]


def read_arg(part: str, name: str) -> str:
    """The default of a build argument."""
    defaults = dict(rest.split("=", 1) for word, rest in instructions(PARTS[part]) if word == "ARG")
    return defaults[name]


def read_image(part: str) -> Image:
    """What the image of a part will be."""
    steps = instructions(PARTS[part])
    last = max(number for number, (word, _) in enumerate(steps) if word == "FROM")
    final = steps[last:]
    values = dict(final)
    copied = [
        (source, target)
        for word, rest in final
        if word == "COPY" and not rest.startswith("--from")
        for *sources, target in [rest.split()]
        for source in sources
    ]
    env = dict(pair.split("=", 1) for word, rest in final if word == "ENV" for pair in rest.split())
    entrypoint = json.loads(values["ENTRYPOINT"])
    return Image(copied, env, entrypoint, values["WORKDIR"], values["USER"])


def copy_into(part: str, folder: Path) -> None:
    """Put into `folder` what the image of a part has in its working directory."""
    ignored = shutil.ignore_patterns(*LEFT_OUT)
    for source, target in read_image(part).copied:
        origin = ROOT / source
        if origin.is_dir():
            shutil.copytree(origin, folder / target, ignore=ignored, dirs_exist_ok=True)
        else:
            # A target that ends with a slash, or is the folder itself, is a folder.
            place = folder / target
            place = place / origin.name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, place)
