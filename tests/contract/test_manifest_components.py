"""Each component fits every overlay: an object store, a registry, mounted files, a Broker."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from functions.shared.config import Settings
from tests import schemas
from tests.manifests import (
    EACH_OVERLAY,
    KNATIVE,
    Manifest,
    container_of,
    environment,
    find,
    names_selected,
    pod_templates,
    settings_of,
    with_components,
)

COMPONENTS = sorted(path.name for path in (KNATIVE / "components").iterdir())
FUNCTION_PODS = {"submit", "status", "generate", "dispatch", "forward"}


Render = Callable[..., list[Manifest]]


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Renders an overlay with components, once for all tests; every object is valid."""

    @cache
    def rendered(name: str, *components: str) -> list[Manifest]:
        objects = with_components(name, *components, folder=tmp_path_factory.mktemp("rendered"))
        for item in objects:
            schemas.validate(item)
        return objects

    return rendered


@EACH_OVERLAY
def test_outside_s3_replaces_the_object_store(name: str, render: Render) -> None:
    """Nothing of the store in the cluster remains, and its users may connect to the other one."""
    objects = render(name, "outside-s3")
    assert not [item for item in objects if item["metadata"]["name"] == "s3"]
    policy = find(objects, "NetworkPolicy", "to-outside-s3")["spec"]
    inside = find(objects, "NetworkPolicy", "to-nats-and-s3")["spec"]
    users = names_selected(inside["podSelector"]) | {"ui"}
    assert names_selected(policy["podSelector"]) == users


@pytest.mark.parametrize("first", [True, False], ids=["listed first", "listed last"])
@EACH_OVERLAY
def test_every_pod_may_pull_from_a_private_registry(name: str, first: bool, render: Render) -> None:
    """Also the pods of other components, in whichever order components are listed.

    Knative resolves digests with the credentials of a ServiceAccount, not with the node's.
    """
    others = [component for component in COMPONENTS if component != "private-registry"]
    listed = ["private-registry", *others] if first else [*others, "private-registry"]
    objects = render(name, *listed)
    assert find(objects, "Deployment", "forward"), "a pod that a component adds"
    accounts = {i["metadata"]["name"]: i for i in objects if i["kind"] == "ServiceAccount"}
    for _, template in pod_templates(objects):
        account = accounts[template["spec"]["serviceAccountName"]]
        assert account["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize(
    ("component", "setting", "users"),
    [
        ("accounts", "ACCOUNTS_FILE", ("submit", "status", "dispatch")),
    ],
)
@EACH_OVERLAY
def test_files_are_mounted_where_settings_expect_them(
    name: str, component: str, setting: str, users: tuple[str, ...], render: Render
) -> None:
    """A component's setting exists, and names a file in the Secret that it mounts."""
    objects = render(name, component)
    assert setting.lower() in Settings.model_fields
    for function in users:
        container = container_of(objects, function)
        path = environment(objects, container)[setting]
        assert any(path.startswith(mount["mountPath"]) for mount in container["volumeMounts"])


@EACH_OVERLAY
def test_completed_videos_reach_a_broker(name: str, render: Render) -> None:
    """A second `dispatch` has a consumer, by the set-up Job, and the Broker as its sink."""
    objects = render(name, "broker")
    (forward,) = find(objects, "Deployment", "forward")["spec"]["template"]["spec"]["containers"]
    (job,) = find(objects, "Job", "set-up")["spec"]["template"]["spec"]["containers"]
    variables = environment(objects, forward)
    assert forward["image"] == container_of(objects, "dispatch")["image"]
    assert variables["FORWARD_EVENTS"] == environment(objects, job)["FORWARD_EVENTS"]
    settings_of(objects, forward)
    assert variables["NATS_URL"].startswith("nats://forward:")
    sink = find(objects, "SinkBinding", "forward")["spec"]["sink"]["ref"]
    assert find(objects, sink["kind"], sink["name"])["apiVersion"] == sink["apiVersion"]


@EACH_OVERLAY
def test_policies_cover_the_pods_of_components(name: str, render: Render) -> None:
    """Every pod starts with no traffic at all, and those with a NATS_URL may connect to NATS."""
    objects = render(name, *COMPONENTS)
    policies = [item["spec"] for item in objects if item["kind"] == "NetworkPolicy"]
    for owner, template in pod_templates(objects):
        labels = template["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "kinora", owner
        users = [c for c in template["spec"]["containers"] if "NATS_URL" in environment(objects, c)]
        if users:
            part = labels["app.kubernetes.io/name"]
            assert _allowed(policies, "egress", "to", part, "nats"), owner
            assert _allowed(policies, "ingress", "from", "nats", part), owner


def _allowed(
    policies: list[Manifest], direction: str, peers: str, selected: str, peer: str
) -> bool:
    """Whether the port of NATS is open between pods of `selected` and those of `peer`."""
    return any(
        selected in names_selected(policy["podSelector"])
        and peer in names_selected(rule.get(peers, []))
        and {"port": 4222, "protocol": "TCP"} in rule["ports"]
        for policy in policies
        for rule in policy.get(direction, [])
        if "ports" in rule
    )


def _assert_pod_monitor(monitor: Manifest, template: Manifest) -> None:
    """The monitor selects the pods, and exactly one of its endpoints is a port of theirs."""
    labels = template["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] in names_selected(monitor)
    (container,) = template["spec"]["containers"]
    # Knative gives the port of a Service's container this name.
    ports = [port.get("name", "user-port") for port in container["ports"]]
    scraped = [one for one in monitor["podMetricsEndpoints"] if one["port"] in ports]
    assert [one["path"] for one in scraped] == ["/metrics"]


@EACH_OVERLAY
def test_grafana_finds_the_dashboard(name: str, render: Render) -> None:
    """By the label that its sidecar looks for; the file is the one in git."""
    objects = render(name, "monitoring")
    dashboard = find(objects, "ConfigMap", "grafana-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = dashboard["data"].values()
    assert text == (KNATIVE / "components" / "monitoring" / "dashboard.json").read_text()


@EACH_OVERLAY
def test_every_function_can_be_monitored(name: str, render: Render) -> None:
    """Prometheus finds the pods, with its operator or by annotations; its namespace is let through.

    That includes the pods of components.
    """
    objects = render(name, *COMPONENTS)
    monitored = {
        template["metadata"]["labels"]["app.kubernetes.io/name"]: template
        for _, template in pod_templates(objects)
        if template["metadata"].get("annotations", {}).get("prometheus.io/scrape") == "true"
    }
    assert monitored.keys() == FUNCTION_PODS
    policy = find(objects, "NetworkPolicy", "from-monitoring")["spec"]
    (rule,) = policy["ingress"]
    assert rule["from"] == [
        {"namespaceSelector": {"matchLabels": {"kinora.dev/monitoring": "true"}}}
    ]
    for template in monitored.values():
        port = int(template["metadata"]["annotations"]["prometheus.io/port"])
        (container,) = template["spec"]["containers"]
        assert port in [each["containerPort"] for each in container["ports"]]
        assert {"port": port, "protocol": "TCP"} in rule["ports"]
        _assert_pod_monitor(find(objects, "PodMonitor", "functions")["spec"], template)
        assert (
            policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        )
