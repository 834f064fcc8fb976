"""The node's own disks: who may run beside them, which volume is whose, and the weights."""

from __future__ import annotations

import re
from pathlib import Path

from functions.generate.weights import COMPILED
from tests import manifests
from tests.manifests import (
    EACH_GPU_OVERLAY,
    KNATIVE,
    WEIGHTS,
    container_of,
    find,
    overlay,
    pod_templates,
    settings_of,
)


@EACH_GPU_OVERLAY
def test_pods_with_data_tolerate_the_gpu_nodes_taint(name: str) -> None:
    """The disks are the GPU node's, whose taint keeps other pods away."""
    templates = dict(pod_templates(overlay(name)))
    taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    for owner in ("StatefulSet/nats", "StatefulSet/s3", "Service/generate"):
        assert templates[owner]["spec"]["tolerations"] == [taint]
    assert templates[f"{WEIGHTS[name]}/weights"]["spec"]["tolerations"] == [taint]


@EACH_GPU_OVERLAY
def test_replicas_write_beside_the_weights_and_not_to_them(name: str) -> None:
    """What they compile lasts, in the folder that the pod of the weights has created."""
    objects = overlay(name)
    container = container_of(objects, "generate")
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/weights"] == {"name": "weights", "mountPath": "/weights", "readOnly": True}
    folder = settings_of(objects, container).compile_cache
    assert folder is not None
    assert mounts[folder] == {"name": "weights", "mountPath": folder, "subPath": COMPILED}
    pod = find(objects, WEIGHTS[name], "weights")["spec"]["template"]["spec"]
    (verifies,) = pod.get("initContainers") or pod["containers"]
    # The folder is created beside the model.
    assert str(Path(verifies["command"][-1]).parent) == "/weights"


@EACH_GPU_OVERLAY
def test_the_weights_can_be_downloaded_before_everything_else(name: str) -> None:
    """The objects that are applied first include a network policy: to DNS, and to the hub.

    And all that the pod refers to.
    """
    first = [
        item
        for item in overlay(name)
        if item["metadata"].get("labels", {}).get("kinora.dev/first") == "true"
    ]
    assert {item["kind"] for item in first} == {
        WEIGHTS[name], "NetworkPolicy", "PersistentVolumeClaim", "ServiceAccount",
        *(["PriorityClass"] if name == "h100-fleet" else []),
    }  # fmt: skip
    template = find(first, WEIGHTS[name], "weights")["spec"]["template"]
    if "priorityClassName" in template["spec"]:
        find(first, "PriorityClass", template["spec"]["priorityClassName"])
    labels = template["metadata"]["labels"]
    policy = find(first, "NetworkPolicy", "weights-from-outside")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["egress"] == [{}]


def test_every_claim_on_the_nodes_disks_has_a_volume() -> None:
    """Volumes match the claims in number, size and class; prepare.sh creates their folders."""
    objects = manifests.render(KNATIVE / "nvme")
    script = (KNATIVE / "nvme" / "prepare.sh").read_text()
    folders = re.search(r"for folder in ([a-z0-9 -]+);", script)
    assert folders is not None
    assert "MOUNT:=/mnt/kinora" in script
    left: dict[str, list[str]] = {}
    for volume in (item for item in objects if item["kind"] == "PersistentVolume"):
        folder = volume["spec"]["local"]["path"].removeprefix("/mnt/kinora/")
        assert folder in folders[1].split()
        assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
        assert volume["spec"]["storageClassName"] == "kinora-nvme"
        name = volume["metadata"]["labels"]["kinora.dev/volume"]
        left.setdefault(name, []).append(volume["spec"]["capacity"]["storage"])
    claims = [item["spec"] for item in overlay("h100") if item["kind"] == "PersistentVolumeClaim"]
    for item in (item for item in overlay("h100") if item["kind"] == "StatefulSet"):
        claims += [item["spec"]["volumeClaimTemplates"][0]["spec"]] * item["spec"]["replicas"]
    for claim in claims:
        assert claim["storageClassName"] == "kinora-nvme"
        size = left[claim["selector"]["matchLabels"]["kinora.dev/volume"]].pop()
        assert claim["resources"]["requests"]["storage"] == size
    assert not any(left.values())
