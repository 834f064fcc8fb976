"""Images by digest: those that `make images` pushes, and public ones, with stand-ins for docker."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import ROOT
from tests.dockerfiles import DOCKERFILES
from tests.fake_cluster import FakeCluster
from tests.manifests import KNATIVE

NAMES = {"REGISTRY": "r.example:5000/a", "TAG": "0123abcd"}


def _digest(image: str) -> str:
    """What the stand-ins give an image."""
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    """A cluster without objects."""
    return FakeCluster(tmp_path)


@pytest.mark.parametrize("engine", ["docker", "buildah"])
def test_what_was_pushed_is_deployed(cluster: FakeCluster, tmp_path: Path, engine: str) -> None:
    """Nodes get the images that were built here, even if the tag moves in the registry."""
    pushed = str(tmp_path / "pushed")
    done = cluster.run("images.sh", **NAMES, ENGINE=engine, PUSH="1", PUSHED=pushed)
    assert done.returncode == 0, done.stderr
    done = cluster.run("deploy.sh", **NAMES, OVERLAY="h100", PUSHED=pushed)
    assert done.returncode == 0, done.stderr
    applied = [call["file"] for call in cluster.calls if call["args"][:2] == ["apply", "-f"]]
    found = set(re.findall(r"image: (r\.example\S+)", applied[-1]))
    images = [f"r.example:5000/a/kinora-{part}:0123abcd" for part in DOCKERFILES]
    assert found == {f"{image}@{_digest(image)}" for image in images}


@pytest.mark.parametrize("other", [{"TAG": "4567cdef"}, {"REGISTRY": "other.example"}])
def test_other_images_are_deployed_by_their_tag(
    cluster: FakeCluster, tmp_path: Path, other: dict[str, str]
) -> None:
    """A digest is that of one image: another tag, or another registry's, has none here."""
    pushed = str(tmp_path / "pushed")
    assert cluster.run("images.sh", **NAMES, PUSH="1", PUSHED=pushed).returncode == 0
    names = NAMES | other
    done = cluster.run("deploy.sh", **names, OVERLAY="h100", PUSHED=pushed)
    assert done.returncode == 0, done.stderr
    applied = [call["file"] for call in cluster.calls if call["args"][:2] == ["apply", "-f"]]
    found = set(re.findall(rf"image: ({names['REGISTRY']}/\S+)", applied[-1]))
    assert found == {f"{names['REGISTRY']}/kinora-{part}:{names['TAG']}" for part in DOCKERFILES}


def test_a_refused_push_leaves_no_digests(cluster: FakeCluster, tmp_path: Path) -> None:
    """Half of the images by digest and half by tag would be two versions in one deployment."""
    pushed = tmp_path / "pushed"
    done = cluster.run(
        "images.sh", **NAMES, PUSH="1", PUSHED=str(pushed), UNREACHABLE="kinora-generate:0123abcd"
    )
    assert done.returncode == 1
    assert "kinora-generate:0123abcd was not pushed" in done.stderr
    assert not pushed.exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that name images."""
    folder = tmp_path / "checkout"
    for part in ("knative", "functions", "ui"):
        shutil.copytree(
            ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.py", "__pycache__", "demo")
        )
    shutil.copy(KNATIVE / "pin_images.py", folder / "knative")
    return folder


def _texts(folder: Path) -> dict[str, str]:
    """All files but binary ones."""
    return {
        str(path.relative_to(folder)): path.read_text(errors="surrogateescape")
        for path in folder.rglob("*")
        if path.is_file()
    }


def _pin(checkout: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checkout / "knative" / "pin_images.py"],
        env={"PATH": str(programs), "STATE": str(programs)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_public_images_get_the_digest_of_their_tag(
    cluster: FakeCluster, tmp_path: Path, checkout: Path
) -> None:
    """In manifests, Dockerfiles and cluster.sh, whether they had one or not; all else stays."""
    before = _texts(checkout)
    done = _pin(checkout, tmp_path)
    assert done.returncode == 0, done.stderr
    changed = {path: text for path, text in _texts(checkout).items() if text != before[path]}
    assert set(changed) == set(done.stdout.splitlines()) == {
        "functions/Dockerfile",
        "functions/generate/Dockerfile",
        "ui/Dockerfile",
        "knative/base/nats/nats.yaml",
        "knative/base/s3.yaml",
        "knative/nvme/prepare.yaml",
        "knative/cluster.sh",
    }  # fmt: skip
    digest = re.compile(r"@sha256:\w+")
    for path, text in changed.items():
        assert digest.sub("", text) == digest.sub("", before[path])
        pinned = re.findall(r"([\w./-]+:[\w.-]+)@(sha256:\w+)", text)
        assert pinned, path
        assert all(found == _digest(image) for image, found in pinned), path
    asked = {call.split()[-1] for call in cluster.engine_calls}
    assert "docker.io/library/nats:2.15.1-alpine" in asked
    assert not any("kinora" in image for image in asked)


def test_without_a_digest_nothing_is_written(
    cluster: FakeCluster, tmp_path: Path, checkout: Path
) -> None:
    """Neither without a program to ask, nor when a registry does not answer."""
    before = _texts(checkout)
    (tmp_path / "docker").write_text("#!/bin/sh\necho no such host >&2; exit 1\n")
    done = _pin(checkout, tmp_path)
    assert done.returncode == 1
    assert "no such host" in done.stderr
    cluster.remove("docker")
    done = _pin(checkout, tmp_path)
    assert done.returncode == 1
    assert "Install one of: docker, crane, skopeo." in done.stderr
    assert _texts(checkout) == before
