"""The DaemonSet of `knative/nvme`, rendered and run on this machine, on real block devices."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.manifests import KNATIVE, environment, find, render

# What the node would do in the init container's `nsenter --target 1 --mount -- COMMAND`: here, in
# the mount namespace of the test.
NSENTER = """#!/bin/sh
[ "$1 $2 $3 $4" = "--target 1 --mount --" ] || exit 99
shift 4
exec "$@"
"""
LOSETUP = "/sbin/losetup"
NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


class Node:
    """This machine as the node, with mounts that end with the command that made them."""

    def __init__(self, folder: Path) -> None:
        self._has_mounts = os.geteuid() == 0
        objects = render(KNATIVE / "nvme")
        pod = find(objects, "DaemonSet", "nvme")["spec"]["template"]["spec"]
        (self._prepare,) = pod["initContainers"]
        self._configured = environment(objects, self._prepare)
        (script,) = [v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v]
        (mount,) = self._prepare["volumeMounts"]
        self._mounted_at = mount["mountPath"]
        self._files = folder / "files"
        self._files.mkdir()
        for name, text in find(objects, "ConfigMap", script)["data"].items():
            (self._files / name).write_text(text)
        (programs := folder / "programs").mkdir()
        (programs / "nsenter").write_text(NSENTER)
        (programs / "nsenter").chmod(0o755)
        self._path = f"{programs}:/usr/sbin:/sbin:{os.environ['PATH']}"

    def prepare(
        self, variables: Mapping[str, str], *, before: str = ":", then: str = ":"
    ) -> subprocess.CompletedProcess[str]:
        """Run the init container, with a ConfigMap `disk` that differs by `variables`.

        `before` and `then` are commands that share its mounts, which nothing else does.
        """
        shell, option, line = self._prepare["command"]
        line = line.replace(f"{self._mounted_at}/", f"{self._files}/")
        private = NAMESPACE if self._has_mounts else []
        return subprocess.run(
            [*private, shell, option, f"{before} && {line} && {then}"],
            env={**self._configured, "PATH": self._path, **variables},
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """The node with the files of the rendered ConfigMaps."""
    return Node(tmp_path)


def test_the_disk_must_be_named_first(node: Node) -> None:
    """As rendered, the pod names no disk of any node, and so it touches none."""
    done = node.prepare({})
    assert done.returncode == 1
    assert done.stderr == "Refusing /dev/disk/by-id/nvme-SET-THIS: no such disk\n"


def _run(*argv: str | Path) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """An empty disk: a loop device, of a machine that has some and lets this user have them."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    try:
        device = _run(LOSETUP, "--find", "--show", image)
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"no loop devices here: {problem}")
    yield device
    _run(LOSETUP, "--detach", device)


def _digest(disk: str) -> str:
    return hashlib.sha256(Path(disk).read_bytes()).hexdigest()


def test_a_new_disk_gets_the_folders_of_the_volumes(node: Node, disk: str, tmp_path: Path) -> None:
    """With FORMAT=yes only. The pods' user may write, and after a reboot everything is there."""
    mount = tmp_path / "mounted"
    disks = {"DISK": disk, "MOUNT": str(mount)}
    refused = node.prepare(disks)
    assert refused.returncode == 1
    assert "set FORMAT=yes" in refused.stderr
    assert not mount.exists()

    # A volume of the node is mounted like this for its pod; other users can't enter this folder.
    bind = f"mount --bind {mount}/s3 /mnt && cd /mnt"
    as_pod = "setpriv --reuid 10001 --regid 10001 --clear-groups sh -c"
    owners = f"stat -c '%n %u:%g' {mount}/*"
    formatted = disks | {"FORMAT": "yes"}
    first = node.prepare(formatted, then=f"{owners} && {bind} && {as_pod} 'echo kept > file'")
    assert first.returncode == 0, first.stderr
    for item in render(KNATIVE / "nvme"):
        if item["kind"] == "PersistentVolume":
            folder = item["spec"]["local"]["path"].replace("/mnt/kinora", str(mount))
            assert f"{folder} 10001:10001\n" in first.stdout

    again = node.prepare(formatted, then=f"cat {mount}/s3/file && findmnt {mount}")
    assert again.returncode == 0, again.stderr
    assert "is already prepared" in again.stdout
    assert "kept\n" in again.stdout
    assert "noatime" in again.stdout


def test_a_disk_that_is_in_use_is_refused(node: Node, disk: str, tmp_path: Path) -> None:
    """A block device shows what a file can't: that it is mounted. No byte of it changes."""
    _run("/sbin/mkfs.ext4", "-q", "-L", "other", disk)
    (used := tmp_path / "used").mkdir()
    before = _digest(disk)
    refused = node.prepare(
        {"DISK": disk, "MOUNT": str(tmp_path / "mounted"), "FORMAT": "yes"},
        before=f"mount -o ro,noload {disk} {used}",
    )
    assert refused.returncode == 1
    assert refused.stderr == f"Refusing {disk}: it is mounted\n"
    assert _digest(disk) == before
