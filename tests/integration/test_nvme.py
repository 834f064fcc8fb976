"""Preparing a disk, here a file: a disk with data is not changed."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local.stack import ROOT

SCRIPT = ROOT / "knative" / "nvme" / "prepare.sh"
SIZE = 64 << 20

# Replace commands that need root, or real mounts.
STAND_INS = {
    "mount": 'echo "mount $*"',
    "mountpoint": "exit 1",
    "chown": "exit 0",
}


def _ext4(disk: Path) -> None:
    _mkfs(disk, "-L", "other")


def _mkfs(disk: Path, *options: str) -> None:
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", *options, disk], check=True)


def _partitions(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.seek(446)
        file.write(bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") * 2)
        file.seek(510)
        file.write(b"\x55\xaa")


def _swap(disk: Path) -> None:
    subprocess.run(["/sbin/mkswap", disk], check=True, capture_output=True)


def _bytes_without_a_signature(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.seek(5 << 20)
        file.write(random.Random(0).randbytes(512))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An empty disk."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def _prepare(disk: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    tools = disk.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name, body in STAND_INS.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    environ = {
        "PATH": f"{tools}:/usr/sbin:/sbin:{os.environ['PATH']}",
        "DISK": str(disk),
        "MOUNT": str(disk.parent / "mounted"),
        **variables,
    }
    return subprocess.run([SCRIPT], env=environ, capture_output=True, text=True, check=False)


def _digest(disk: Path) -> str:
    return hashlib.sha256(disk.read_bytes()).hexdigest()


@pytest.mark.parametrize("fill", [_ext4, _partitions, _swap, _bytes_without_a_signature])
def test_a_disk_with_data_is_left_alone(disk: Path, fill: Callable[[Path], None]) -> None:
    """Whatever it contains, and even with FORMAT=yes, no byte changes."""
    fill(disk)
    before = _digest(disk)
    done = _prepare(disk, FORMAT="yes")
    assert done.returncode == 1
    assert "Refusing " in done.stderr
    assert "mount " not in done.stdout
    assert _digest(disk) == before


def test_an_empty_disk_is_formatted_only_with_format_yes(disk: Path) -> None:
    """Without it, the disk stays empty."""
    before = _digest(disk)
    assert "set FORMAT=yes" in _prepare(disk).stderr
    assert "set FORMAT=yes" in _prepare(disk, FORMAT="no").stderr
    assert _digest(disk) == before


def test_a_prepared_disk_is_mounted_again_and_keeps_its_data(disk: Path) -> None:
    """When the node reboots, the disk is recognised, whatever FORMAT is."""
    first = _prepare(disk, FORMAT="yes")
    assert first.returncode == 0, first.stderr
    assert f"mount -o noatime {disk} {disk.parent / 'mounted'}" in first.stdout
    folders = {path.name for path in (disk.parent / "mounted").iterdir()}
    assert folders == {"weights", "nats-0", "nats-1", "nats-2", "s3"}
    before = _digest(disk)
    again = _prepare(disk, FORMAT="yes")
    assert again.returncode == 0, again.stderr
    assert "is already prepared" in again.stdout
    assert _digest(disk) == before


def test_a_missing_disk_is_an_error(disk: Path) -> None:
    """A misspelt name creates no file."""
    done = _prepare(disk.parent / "nothing", FORMAT="yes")
    assert done.returncode == 1
    assert "no such disk" in done.stderr
    assert not (disk.parent / "nothing").exists()
