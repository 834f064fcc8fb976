"""The overlay `h100-fleet`: several nodes, of which each may be drained or lost."""

from __future__ import annotations

import pytest

from tests import manifests
from tests.manifests import (
    KNATIVE,
    KNATIVE_SERVICES,
    Manifest,
    container_of,
    find,
    overlay,
    pod_templates,
)

FLEET = "h100-fleet"
GPUS_PER_NODE = 8
RENDERING = "kinora-generate"


def _budget(part: str) -> Manifest:
    """The spec of the disruption budget of a part's pods."""
    spec: Manifest = find(overlay(FLEET), "PodDisruptionBudget", part)["spec"]
    return spec


def test_rendering_gives_way_to_everything_else() -> None:
    """Every pod has a class, and only those of `generate` the lower one, which preempts nobody."""
    objects = overlay(FLEET)
    classes = {owner: t["spec"]["priorityClassName"] for owner, t in pod_templates(objects)}
    assert {owner for owner, name in classes.items() if name == RENDERING} == {"Service/generate"}
    rendering = find(objects, "PriorityClass", RENDERING)
    for name in set(classes.values()) - {RENDERING}:
        assert find(objects, "PriorityClass", name)["value"] > rendering["value"]
    assert rendering["preemptionPolicy"] == "Never"


def test_copies_of_nats_are_never_on_one_node() -> None:
    """With fewer nodes than servers, one waits, and the others keep the quorum."""
    servers = find(overlay(FLEET), "StatefulSet", "nats")["spec"]
    (rule,) = servers["template"]["spec"]["topologySpreadConstraints"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["whenUnsatisfiable"] == "DoNotSchedule"
    # With fewer nodes than that, Kubernetes counts an empty one, so no node gets a second server.
    assert rule["minDomains"] == servers["replicas"] == 3
    assert rule["maxSkew"] == 1
    assert _selected(rule, servers["template"]["metadata"]["labels"])


@pytest.mark.parametrize("part", [*KNATIVE_SERVICES, "dispatch"])
def test_the_replicas_of_a_function_are_spread_over_the_nodes(part: str) -> None:
    """Where there is room; a constraint counts the pods of its own function only."""
    objects = overlay(FLEET)
    kind = "Deployment" if part == "dispatch" else "Service"
    template = find(objects, kind, part)["spec"]["template"]
    (rule,) = template["spec"]["topologySpreadConstraints"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["whenUnsatisfiable"] == "ScheduleAnyway"
    counted = {
        other["metadata"]["labels"]["app.kubernetes.io/name"]
        for _, other in pod_templates(objects)
        if _selected(rule, other["metadata"]["labels"], of=template["metadata"]["labels"])
    }
    assert counted == {part}


def _selected(rule: Manifest, labels: Manifest, *, of: Manifest | None = None) -> bool:
    """Whether a constraint of a pod with the labels `of` counts a pod with `labels`."""
    same = all((of or labels)[key] == labels[key] for key in rule.get("matchLabelKeys", []))
    wanted: Manifest = rule["labelSelector"]["matchLabels"]
    return same and wanted.items() <= labels.items()


def test_a_node_is_drained_at_once_and_the_next_one_waits() -> None:
    """The budget of `generate` is one node's replicas; NATS and the functions go one by one."""
    gpus = int(container_of(overlay(FLEET), "generate")["resources"]["limits"]["nvidia.com/gpu"])
    assert _budget("generate")["maxUnavailable"] == GPUS_PER_NODE // gpus
    # A replica that can't get ready would otherwise keep its node from being drained.
    assert _budget("generate")["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    for part in ("nats", "dispatch", "submit", "status", "ui"):
        assert _budget(part)["maxUnavailable"] == 1


def test_volumes_are_of_the_storage_class_that_is_named() -> None:
    """NATS and the object store can start on another node: no host's disk holds their data."""
    objects = overlay(FLEET)
    named = find(
        manifests.documents(KNATIVE / "overlays" / FLEET / "fleet.yaml"), "ConfigMap", "fleet"
    )
    for name in ("nats", "s3"):
        (claim,) = find(objects, "StatefulSet", name)["spec"]["volumeClaimTemplates"]
        assert claim["spec"]["storageClassName"] == named["data"]["STORAGE_CLASS"]
        assert "selector" not in claim["spec"]


def test_every_node_with_a_disk_has_its_own_copy_of_the_weights() -> None:
    """One claim of one volume, which is the same folder of whichever node the pod is on."""
    objects = overlay(FLEET)
    pod = find(objects, "DaemonSet", "weights")["spec"]["template"]["spec"]
    disks = manifests.render(KNATIVE / "nvme-fleet")
    (volume,) = [item["spec"] for item in disks if item["kind"] == "PersistentVolume"]
    ((label,),) = (
        term["matchExpressions"] for term in volume["nodeAffinity"]["required"]["nodeSelectorTerms"]
    )
    assert {label["key"]: label["values"][0]} == pod["nodeSelector"]
    claim = find(objects, "PersistentVolumeClaim", "weights")["spec"]
    for each in (volume, claim):
        assert each["accessModes"] == ["ReadWriteMany"]
        assert each["storageClassName"] == "kinora-nvme"
    assert claim["resources"]["requests"]["storage"] == volume["capacity"]["storage"]
    assert claim["selector"]["matchLabels"] == {"kinora.dev/volume": "weights"}
    generate = find(objects, "Service", "generate")["spec"]["template"]["spec"]
    mounted = {v["name"]: v.get("persistentVolumeClaim") for v in generate["volumes"]}
    assert mounted["weights"] == {"claimName": "weights"}


def test_weights_are_verified_before_a_node_is_ready() -> None:
    """The program that compares checksums ends before the container that makes the pod ready."""
    pod = find(overlay(FLEET), "DaemonSet", "weights")["spec"]["template"]["spec"]
    (verifies,) = pod["initContainers"]
    assert verifies["command"][:3] == ["python3", "-m", "functions.generate.weights"]
    (ready,) = pod["containers"]
    assert ready["command"] == ["sleep", "infinity"]
    assert "Job/weights" not in dict(pod_templates(overlay(FLEET)))
