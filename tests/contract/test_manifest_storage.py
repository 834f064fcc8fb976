"""The node's own disks: who may run beside them, which volume is whose, and the weights."""

from __future__ import annotations

import re

from tests import manifests
from tests.manifests import KNATIVE, find, overlay, pod_templates


def test_pods_with_data_tolerate_the_gpu_nodes_taint() -> None:
    """The disks are the GPU node's, whose taint keeps other pods away."""
    templates = dict(pod_templates(overlay("h100")))
    taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    for name in ("StatefulSet/nats", "StatefulSet/s3", "Job/weights", "Service/generate"):
        assert templates[name]["spec"]["tolerations"] == [taint]


def test_the_weights_job_can_run_before_everything_else() -> None:
    """The objects that are applied first include a network policy: to DNS, and to the hub."""
    first = [
        item
        for item in overlay("h100")
        if item["metadata"].get("labels", {}).get("kinora.dev/first") == "true"
    ]
    assert sorted(item["kind"] for item in first) == [
        "Job", "NetworkPolicy", "PersistentVolumeClaim", "ServiceAccount",
    ]  # fmt: skip
    labels = find(first, "Job", "weights")["spec"]["template"]["metadata"]["labels"]
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
