"""Keeps what torch compiles, so that the next process on such a machine does not compile it.

torch's own cache finds entries by the graph, the version of torch and the device, and several
processes may share it. It never removes an entry. So whatever entries depend on is part of a
folder's name here, and a folder that no start has used for `KEPT_DAYS` is removed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from functions.shared.timestamps import DAY_SECONDS

_log = logging.getLogger(__name__)

# Longer than a rollback to the version before takes to be decided.
KEPT_DAYS: Final = 30
_PREFIX: Final = "compiled-"
# What the compiler's input and output depend on, besides the device and this package.
_PACKAGES: Final = ("torch", "triton", "diffusers")


def use_compile_cache(parent: Path, device: str) -> Path | None:
    """Have torch keep what it compiles for `device` in a folder of `parent`; None if it can't.

    Call it before anything is compiled.

    Args:
        parent: created if it does not exist; several processes may share it.
        device: the GPU's name, or `CPU`.
    """
    folder = parent / f"{_PREFIX}{cache_key(device)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # it is in use
        _remove_unused(parent)
    except OSError as error:
        _log.warning("%s can't be used, so this start compiles everything: %s", parent, error)
        return None
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder / "triton")
    return folder


def cache_key(device: str) -> str:
    """16 digits that differ if the versions of the packages, this code, or the device do."""
    digest = hashlib.sha256(f"{device} {platform.machine()} {platform.python_version()}".encode())
    for package in _PACKAGES:
        digest.update(f" {package} {_version_of(package)}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # builds of torch for CPUs need no Triton
        return None


def _remove_unused(parent: Path) -> None:
    oldest = time.time() - KEPT_DAYS * DAY_SECONDS
    for folder in parent.glob(f"{_PREFIX}*"):
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
