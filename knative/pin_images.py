"""Writes the digest of each public image next to its tag: `make pin`.

Digests come from the images' registries, so this needs one of the programs below. An image whose
tag was pushed again gets its new digest; `git diff` shows what changed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
# Each prints the digest of an image that the registry has for all platforms.
PROGRAMS: Final = (
    ("docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}"),
    ("crane", "digest"),
    ("skopeo", "inspect", "--format", "{{.Digest}}"),
)
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
# In manifests, Dockerfiles and cluster.sh. Images without a host are Kinora's own, but for kind's.
IMAGE: Final = re.compile(
    r"^(?P<before> *(?:- )?image: (?:&\w+ )?|ARG \w+=|NODE=)"
    r"(?P<image>(?:docker\.io|kindest)/[\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?$",
    re.MULTILINE,
)


def files() -> list[Path]:
    """The files that name images."""
    manifests = sorted((ROOT / "knative").rglob("*.yaml"))
    dockerfiles = [ROOT / "ui" / "Dockerfile", *sorted((ROOT / "functions").rglob("Dockerfile"))]
    return [*manifests, *dockerfiles, ROOT / "knative" / "cluster.sh"]


def digest_of(image: str) -> str:
    """The digest that the image's tag has now.

    Raises:
        SystemExit: no program can say it, or the registry doesn't know the image.
    """
    command = next((command for command in PROGRAMS if shutil.which(command[0])), None)
    if command is None:
        raise SystemExit(f"Install one of: {', '.join(command[0] for command in PROGRAMS)}.")
    name = f"docker://{image}" if command[0] == "skopeo" else image
    done = subprocess.run([*command, name], capture_output=True, text=True, check=False)
    digest = done.stdout.strip()
    if done.returncode or not DIGEST.fullmatch(digest):
        raise SystemExit(f"{image} has no digest: {done.stderr.strip() or digest}")
    return digest


def main() -> None:
    """Write every digest, or none if one is missing."""
    texts = {path: path.read_text() for path in files()}
    images = {found["image"] for text in texts.values() for found in IMAGE.finditer(text)}
    digests = {image: digest_of(image) for image in sorted(images)}
    for path, text in texts.items():
        pinned = IMAGE.sub(lambda m: f"{m['before']}{m['image']}@{digests[m['image']]}", text)
        if pinned != text:
            path.write_text(pinned)
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
