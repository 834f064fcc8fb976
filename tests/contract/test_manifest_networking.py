"""Who reaches whom in the cluster: visibility, network policies, ports and the SinkBinding."""

from __future__ import annotations

import pytest

from tests.manifests import (
    EACH_OVERLAY,
    KNATIVE_SERVICES,
    container_of,
    environment,
    find,
    names_selected,
    overlay,
    pod_templates,
)


@EACH_OVERLAY
def test_only_the_gateway_is_public(name: str) -> None:
    """Every other Service has an address inside the cluster only."""
    for service in (item for item in overlay(name) if item["kind"] == "Service"):
        if service["apiVersion"] == "v1":
            assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
            continue
        visibility = service["metadata"]["labels"].get("networking.knative.dev/visibility")
        expected = None if service["metadata"]["name"] == "ui" else "cluster-local"
        assert visibility == expected, service["metadata"]["name"]


@EACH_OVERLAY
def test_traffic_is_denied_by_default(name: str) -> None:
    """Without a policy that allows it, no pod is reached and none connects to anything."""
    policy = find(overlay(name), "NetworkPolicy", "deny-by-default")["spec"]
    assert policy == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "kinora"}},
        "policyTypes": ["Ingress", "Egress"],
    }


@EACH_OVERLAY
def test_policies_allow_nats_and_s3_to_those_that_use_them(name: str) -> None:
    """Pods with a NATS_URL may connect to NATS and to S3, and the gateway to S3 alone."""
    objects = overlay(name)
    users = {
        template["metadata"]["labels"]["app.kubernetes.io/name"]
        for _, template in pod_templates(objects)
        for container in template["spec"]["containers"]
        if "NATS_URL" in environment(objects, container)
    }
    out = names_selected(find(objects, "NetworkPolicy", "to-nats-and-s3")["spec"]["podSelector"])
    assert out == users
    for server, port, accepted in (("nats", 4222, users), ("s3", 8333, users | {"ui"})):
        rule = find(objects, "NetworkPolicy", server)["spec"]["ingress"][0]
        assert rule["ports"] == [{"port": port, "protocol": "TCP"}]
        assert names_selected(rule["from"]) == accepted
    gateway = find(objects, "NetworkPolicy", "ui-to-s3")["spec"]
    assert names_selected(gateway["podSelector"]) == {"ui"}
    (rule,) = gateway["egress"]
    assert (names_selected(rule["to"]), rule["ports"][0]["port"]) == ({"s3"}, 8333)


@EACH_OVERLAY
@pytest.mark.parametrize("port", [443, 6443, 8443, 16443])
def test_busy_replicas_are_marked_at_api_servers_of_usual_ports(name: str, port: int) -> None:
    """Of clouds, kubeadm and kind, minikube, and MicroK8s; policies apply behind the Service."""
    (rule,) = find(overlay(name), "NetworkPolicy", "dispatch-to-outside")["spec"]["egress"]
    assert {"port": port, "protocol": "TCP"} in rule["ports"]
    assert "to" not in rule, "no manifest can know the address"


@EACH_OVERLAY
def test_ports_match(name: str) -> None:
    """Probes, Services and containers use the same ports; PORT is left to Knative."""
    objects = overlay(name)
    for service in KNATIVE_SERVICES:
        container = container_of(objects, service)
        assert container["ports"] == [{"containerPort": 8080}]
        assert "PORT" not in environment(objects, container)
        for probe in ("readinessProbe", "livenessProbe"):
            # Knative refuses any other port, and some of its versions a probe without one.
            assert container[probe]["httpGet"]["port"] == 8080
    dispatch = container_of(objects, "dispatch")
    assert environment(objects, dispatch)["PORT"] == str(dispatch["ports"][0]["containerPort"])
    for item in (i for i in objects if i["kind"] == "Service" and i["apiVersion"] == "v1"):
        template = find(objects, "StatefulSet", item["metadata"]["name"])["spec"]["template"]
        (container,) = template["spec"]["containers"]
        open_ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in item["spec"]["ports"]:
            assert open_ports[port["name"]] == port["port"]


@EACH_OVERLAY
def test_dispatch_sends_to_generate(name: str) -> None:
    """The SinkBinding gives the Deployment `dispatch` the address of the Service `generate`."""
    objects = overlay(name)
    binding = find(objects, "SinkBinding", "dispatch")["spec"]
    assert binding == {
        "subject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "dispatch"},
        "sink": {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service",
                         "name": "generate"}},
    }  # fmt: skip
    assert find(objects, "Deployment", "dispatch")["spec"]["replicas"] == 2
    assert find(objects, "Service", "generate")


@EACH_OVERLAY
def test_sinkbindings_webhook_excludes_knative_services(name: str) -> None:
    """While that webhook is down, Knative can't scale the Services that it watches."""
    for service in KNATIVE_SERVICES:
        labels = find(overlay(name), "Service", service)["spec"]["template"]["metadata"]["labels"]
        assert labels["bindings.knative.dev/exclude"] == "true"
