"""Builds and runs images without a container engine: Debian's buildah, as root, in a chroot.

A base built with debootstrap replaces the public images, so only packages are downloaded, with apt
and pip as this machine configures them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from local.stack import ROOT
from tests.dockerfiles import DOCKERFILES, build_args
from tests.patience import scaled

BASE = "localhost/base:test"
# What the public base images have, or the Dockerfiles install on them.
PACKAGES = "python3,python3-venv,ca-certificates"
# Files that need not exist in a container. The Dockerfiles name the versions that they install.
LEFT_OUT = {"constraint", "build-constraint", "requirement"}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Buildah:
    """Images and containers below a folder of their own."""

    def __init__(self, folder: Path) -> None:
        """Keep everything below `folder`, which needs about 15 GB."""
        self._folder = folder
        stores = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        # vfs copies every layer whole, and needs no kernel support.
        self.command = ["nice", "buildah", "--storage-driver", "vfs", *stores]

    def __call__(self, *args: str, seconds: float = 120) -> str:
        """Run buildah and return its output.

        Raises:
            AssertionError: it failed; the message ends with its output.
        """
        done = subprocess.run(
            [*self.command, *args], capture_output=True, text=True, timeout=seconds, check=False
        )
        output = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, f"buildah {' '.join(args)}\n{output}"
        return done.stdout.strip()

    def make_base(self) -> None:
        """Build the base image: Debian with Python."""
        rootfs = self._folder / "rootfs"
        subprocess.run(
            [
                "nice",
                "debootstrap",
                "--variant=minbase",
                f"--include={PACKAGES}",
                "bookworm",
                rootfs,
            ],
            check=True,
            timeout=scaled(600),
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(rootfs / "var" / "cache" / "apt")
        if CERTIFICATES.exists():  # this machine may fetch packages from a mirror of its own
            shutil.copy(CERTIFICATES, rootfs / str(CERTIFICATES).lstrip("/"))
        container = self("from", "scratch")
        self("add", "--quiet", container, str(rootfs), "/")
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self("config", "--env", f"PATH={path}", container)
        self("commit", "--quiet", container, BASE)
        self("rm", container)
        shutil.rmtree(rootfs)

    def build(self, part: str) -> str:
        """Build the image of a part, and return its name."""
        name = f"localhost/kinora-{part}:test"
        base = "BASE_IMAGE" if part == "generate" else "PYTHON_IMAGE"
        values = {base: BASE, **build_args(part)}
        if part == "generate":
            values["TORCH_INDEX"] = torch_index()
        given = [word for pair in values.items() for word in ("--build-arg", "=".join(pair))]
        config, paths = pip_config(self._folder)
        mounts = [word for path in paths for word in ("-v", f"{path}:{path}:ro")]
        self(
            "bud", "--isolation", "chroot", *given,
            "--secret", f"id=pip,src={config}", *mounts,
            "-f", str(DOCKERFILES[part]), "-t", name, str(ROOT),
            seconds=1500,
        )  # fmt: skip
        return name

    def size(self, name: str) -> str:
        """The size of an image with its base, formatted for people."""
        return str(json.loads(self("images", "--json", name))[0]["size"])

    def start_command(self, name: str) -> tuple[list[str], str, str]:
        """The start command, working directory and user of an image."""
        config = json.loads(self("inspect", "--type", "image", name))["OCIv1"]["config"]
        return config["Entrypoint"], config["WorkingDir"], config["User"]

    def container(self, name: str) -> tuple[str, Path]:
        """A new container of an image, and the folder of its root file system."""
        container = self("from", name)
        return container, Path(self("mount", container))

    def run_command(
        self, container: str, user: str, env: dict[str, str], argv: Sequence[str]
    ) -> list[str]:
        """The command line that runs `argv` in a container."""
        variables = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        run = ["run", "--isolation", "chroot", "--user", user, *variables]
        return [*self.command, *run, container, "--", *argv]


def missing_programs() -> list[str]:
    """What this machine lacks for building images."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    return missing + ([] if os.geteuid() == 0 else ["root"])


def torch_index() -> str:
    """`TORCH_INDEX`, or else the index of its own that this machine gives pip; may be empty.

    Without one, the image of `generate` includes CUDA.
    """
    configured = _pip_options().get("extra-index-url", "").split()
    return os.environ.get("TORCH_INDEX") or next(iter(configured), "")


def _pip_options() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    options: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        options[name.rpartition(".")[2]] = value.strip("'\"")
    return {name: value for name, value in options.items() if name not in LEFT_OUT}


def pip_config(folder: Path) -> tuple[Path, Sequence[str]]:
    """This machine's configuration of pip as a file in `folder`, and the paths that it names."""
    options = _pip_options()
    path = folder / "pip.conf"
    lines = [f"{name} = {value}" for name, value in options.items()]
    path.write_text("\n".join(["[global]", *lines, ""]))
    words = [Path(word.removeprefix("file://").rstrip("/"))
             for value in options.values() for word in value.split()]  # fmt: skip
    # A package index on disk keeps its files beside its pages.
    named = {w.parent if w.name == "simple" else w for w in words if w.exists()}
    return path, sorted(str(place) for place in named if place.is_absolute())
