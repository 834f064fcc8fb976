"""What the manifests ask of Knative: feature flags, limits, and annotations that it reads."""

from __future__ import annotations

import pytest
import yaml

from tests.manifests import EACH_OVERLAY, KNATIVE_SERVICES, Manifest, find, overlay, platform

# Fields that Knative refuses unless a flag allows them (pkg/apis/config/features.go).
FLAG_OF_FIELD = {
    "nodeSelector": "kubernetes.podspec-nodeselector",
    "tolerations": "kubernetes.podspec-tolerations",
    "affinity": "kubernetes.podspec-affinity",
    "topologySpreadConstraints": "kubernetes.podspec-topologyspreadconstraints",
    "hostAliases": "kubernetes.podspec-hostaliases",
    "runtimeClassName": "kubernetes.podspec-runtimeclassname",
    "priorityClassName": "kubernetes.podspec-priorityclassname",
    "schedulerName": "kubernetes.podspec-schedulername",
    "securityContext": "kubernetes.podspec-securitycontext",
    "initContainers": "kubernetes.podspec-init-containers",
    "dnsPolicy": "kubernetes.podspec-dnspolicy",
    "dnsConfig": "kubernetes.podspec-dnsconfig",
    "shareProcessNamespace": "kubernetes.podspec-shareprocessnamespace",
    "hostIPC": "kubernetes.podspec-hostipc",
    "hostPID": "kubernetes.podspec-hostpid",
    "hostNetwork": "kubernetes.podspec-hostnetwork",
}
FLAG_OF_VOLUME = {
    "persistentVolumeClaim": "kubernetes.podspec-persistent-volume-claim",
    "hostPath": "kubernetes.podspec-volumes-hostpath",
    "csi": "kubernetes.podspec-volumes-csi",
    "image": "kubernetes.podspec-volumes-image",
}
# Paths where Knative refuses mounts; /tmp is allowed since Knative 1.13 (serving#14719).
RESERVED_PATHS = {"/", "/dev", "/dev/log", "/var"}
# Fields of the pod and of the container that no flag allows.
REFUSED = {"terminationGracePeriodSeconds", "activeDeadlineSeconds", "restartPolicy"}
REFUSED_IN_CONTAINER = {"lifecycle"}
# The default of max-revision-timeout-seconds in config-defaults.
MAX_TIMEOUT = 600
# Knative ignores a misspelt annotation, so these are all that the manifests may use.
ANNOTATIONS = {
    f"autoscaling.knative.dev/{name}"
    for name in (
        "min-scale", "max-scale", "metric", "target", "target-utilization-percentage",
        "target-burst-capacity", "panic-threshold-percentage", "scale-down-delay",
    )
} | {
    "serving.knative.dev/progress-deadline", "prometheus.io/scrape", "prometheus.io/port",
}  # fmt: skip


def _flags(spec: Manifest) -> set[str]:
    """The feature flags that a pod needs."""
    flags = {FLAG_OF_FIELD[field] for field in spec if field in FLAG_OF_FIELD}
    for volume in spec["volumes"]:
        (source,) = volume.keys() - {"name"}
        flags |= {FLAG_OF_VOLUME[source]} if source in FLAG_OF_VOLUME else set()
        if source == "persistentVolumeClaim" and not volume[source].get("readOnly"):
            flags.add("kubernetes.podspec-persistent-volume-write")
    return flags


@EACH_OVERLAY
def test_services_have_no_field_that_knative_refuses(name: str) -> None:
    """Some fields and mount paths are refused whatever the feature flags say."""
    for service in KNATIVE_SERVICES:
        spec = find(overlay(name), "Service", service)["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert not REFUSED & spec.keys()
        assert not REFUSED_IN_CONTAINER & container.keys()
        assert not RESERVED_PATHS & {mount["mountPath"] for mount in container["volumeMounts"]}
        # A flag would allow it; no overlay sets that one.
        assert "fieldRef" not in yaml.safe_dump(container), "kubernetes.podspec-fieldref"


@EACH_OVERLAY
def test_the_platform_allows_what_the_manifests_need_and_no_more(name: str) -> None:
    """Each feature flag and limit of Knative is set if and only if a Service needs it."""
    pods = [
        find(overlay(name), "Service", service)["spec"]["template"]["spec"]
        for service in KNATIVE_SERVICES
    ]
    changed = {
        item["metadata"]["name"]: item["data"]
        for item in platform(name)
        if item["kind"] == "ConfigMap"
    }
    enabled = {k for k, v in changed.get("config-features", {}).items() if v == "enabled"}
    assert enabled == set().union(*map(_flags, pods))
    longest = max(pod["timeoutSeconds"] for pod in pods)
    limit = changed.get("config-defaults", {}).get("max-revision-timeout-seconds")
    assert limit == (str(longest) if longest > MAX_TIMEOUT else None)


@EACH_OVERLAY
@pytest.mark.parametrize("service", KNATIVE_SERVICES)
def test_annotations_are_where_knative_reads_them(name: str, service: str) -> None:
    """They are spelt as Knative spells them, and belong to the template, not to the Service."""
    manifest = find(overlay(name), "Service", service)
    assert "annotations" not in manifest["metadata"]
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    assert annotations.keys() <= ANNOTATIONS
    assert all(isinstance(value, str) for value in annotations.values())


@EACH_OVERLAY
def test_the_activator_always_sends_to_pods(name: str) -> None:
    """It knows which replica is free; Knative's default lets it fall back to the Service's address.

    There, kube-proxy picks a replica at random, busy or not. Nor do two activators know of each
    other's requests.
    """
    settings: dict[str, str] = {}
    for item in platform(name):
        if item["metadata"]["name"] == "config-network":
            settings |= item["data"]
    assert settings["mesh-compatibility-mode"] == "disabled"
    (limits,) = [
        item["spec"] for item in platform(name) if item["kind"] == "HorizontalPodAutoscaler"
    ]
    assert (limits["minReplicas"], limits["maxReplicas"]) == (1, 1)
