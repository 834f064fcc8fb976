"""`make deploy` and its scripts, with stand-ins for kubectl, kind and docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from local.stack import ROOT
from tests.dockerfiles import DOCKERFILES, build_args, read_arg
from tests.fake_cluster import FakeCluster
from tests.manifests import (
    KNATIVE,
    OVERLAYS,
    Manifest,
    kubectl,
    platform_files,
    with_components,
)

# The arguments that ask for the conditions of a Job.
JOB_CONDITIONS = """-o jsonpath={.status.conditions[?(@.status=="True")].type}"""
# Kinds without a namespace: another one's objects of them may have the same labels.
OF_THE_CLUSTER = {
    "PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
# How `make deploy` waits for the weights.
WEIGHTS = {
    "kind": [],
    "h100": [f"get job/weights {JOB_CONDITIONS}"],
    "h100-fleet": ["rollout status daemonset/weights --timeout=6h"],
}


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    """A cluster without objects."""
    return FakeCluster(tmp_path)


def test_secrets_are_random_and_kept(cluster: FakeCluster) -> None:
    """Values are distinct, none begins with a digit, and a second run changes none."""
    assert cluster.run("secrets.sh").returncode == 0
    values = [*cluster.secret("nats").values(), *cluster.secret("s3").values()]
    assert len(values) == len(set(values)) == 10
    assert all(re.fullmatch(r"k[0-9a-f]{40}", value) for value in values)
    before = cluster.secret("nats")
    assert cluster.run("secrets.sh").returncode == 0
    assert cluster.secret("nats") == before
    # Arguments are visible to everyone who can list processes.
    assert not any(value in json.dumps(call["args"]) for call in cluster.calls for value in values)


@pytest.mark.parametrize("name", OVERLAYS)
def test_deploying_applies_in_order(cluster: FakeCluster, name: str) -> None:
    """Namespace, Knative's configuration, Secrets, weights, and then everything else."""
    done = cluster.run("deploy.sh", OVERLAY=name, REGISTRY="registry.example", TAG="0123abcd")
    assert done.returncode == 0, done.stderr
    commands = [" ".join(call["args"]) for call in cluster.calls]
    order = [
        "create namespace here",
        "label --overwrite namespace here pod-security.kubernetes.io/enforce=restricted",
        *(f"patch -f {file} --patch-file {file}" for file in platform_files(name)),
        "create secret generic nats",
        "delete job set-up weights --ignore-not-found",
        *WEIGHTS[name],
        "rollout status statefulset/nats --timeout=15m",
        f"get job/set-up {JOB_CONDITIONS}",
        "wait services.serving.knative.dev --all --for=condition=Ready --timeout=30m",
    ]
    places = [commands.index(command) for command in order]
    assert places == sorted(places)
    applied = [call for call in cluster.calls if call["args"][:2] == ["apply", "-f"]]
    everything, pruned = applied[-2:]
    assert "-l" not in everything["args"]
    assert "--prune" in pruned["args"]
    # Not before all is ready: until then, what is no longer listed may still be in use.
    assert cluster.calls.index(pruned) > places[-1]
    assert everything["namespace"] == "here"
    kinds = [item["kind"] for item in yaml.safe_load_all(everything["file"])]
    assert kinds.count("SinkBinding") == 1
    assert "registry.example/kinora-generate:0123abcd" in everything["file"]


def test_a_failed_job_stops_the_deployment_and_prints_its_log(cluster: FakeCluster) -> None:
    """Nothing else is applied, and the time limit of hours is not waited for."""
    names = {"OVERLAY": "h100", "REGISTRY": "registry.example", "TAG": "0123abcd"}
    done = cluster.run("deploy.sh", **names, JOB="FailureTarget Failed")
    assert done.returncode == 1
    assert "The Job weights is not complete (FailureTarget Failed)" in done.stderr
    assert "the end of the log of job/weights" in done.stderr
    assert not [call for call in cluster.calls if call["args"][0] == "rollout"]


def test_a_revision_that_missed_its_deadline_is_deleted(cluster: FakeCluster) -> None:
    """Knative then re-creates it; applied again without a change, it would not be retried."""
    done = cluster.run("deploy.sh", OVERLAY="h100", REGISTRY="registry.example", TAG="0123abcd")
    assert done.returncode == 0, done.stderr
    deleted = [call["args"][1:] for call in cluster.calls if call["args"][0] == "delete"]
    assert ["revisions.serving.knative.dev", "generate-00002"] in deleted
    assert len([what for what in deleted if what[0].startswith("revisions")]) == 1


@pytest.mark.parametrize("script", ["deploy.sh", "undeploy.sh"])
def test_the_kind_overlay_is_refused_on_other_clusters(cluster: FakeCluster, script: str) -> None:
    """The current context may be a production cluster."""
    names = {"OVERLAY": "kind", "REGISTRY": "kind.local", "TAG": "0123abcd"}
    done = cluster.run(script, **names, CONTEXT="gpus")
    assert done.returncode == 1
    assert "kubectl config use-context kind-kinora" in done.stderr
    assert [call["args"][0] for call in cluster.calls] == ["config"]


def test_patches_keep_other_fields_of_knatives_objects(tmp_path: Path) -> None:
    """Kourier's Service keeps its selector and its other port, and gets a port of kind's node."""
    released = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kourier", "namespace": "kourier-system"},
        "spec": {
            "ports": [
                {"name": "http2", "port": 80, "protocol": "TCP", "targetPort": 8080},
                {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443},
            ],
            "selector": {"app": "3scale-kourier-gateway"},
            "type": "LoadBalancer",
        },
    }
    (tmp_path / "kourier.yaml").write_text(yaml.safe_dump(released))
    patch = KNATIVE / "platform" / "kind" / "kourier.yaml"
    done = subprocess.run(
        [kubectl(), "patch", "--local", "-f", tmp_path / "kourier.yaml", "--patch-file", patch,
         "-o", "yaml"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    spec = yaml.safe_load(done.stdout)["spec"]
    assert spec["selector"] == released["spec"]["selector"]  # type: ignore[index]  # the dict above
    assert {port["port"]: port.get("nodePort") for port in spec["ports"]} == {80: 31080, 443: None}
    assert spec["type"] == "NodePort"


def test_missing_settings_are_named(cluster: FakeCluster) -> None:
    """Without overlay or registry, the scripts fail and name the variable."""
    assert "OVERLAY=kind" in cluster.run("deploy.sh").stderr
    assert "REGISTRY=" in cluster.run("deploy.sh", OVERLAY="kind").stderr
    assert "REGISTRY=" in cluster.run("images.sh", TAG="x").stderr


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_images_are_built_with_their_build_arguments(
    cluster: FakeCluster, tmp_path: Path, variant: str
) -> None:
    """Five images with one tag; for CPUs, `generate` is built on the other functions' base."""
    done = cluster.run(
        "images.sh", REGISTRY="r.example/a", TAG="0123", VARIANT=variant, TORCH_INDEX="x",
        PUSH="1", PUSHED=str(tmp_path / "pushed"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "engine").read_text().splitlines()
    builds = [call for call in calls if call.startswith("docker build ")]
    pushed = [call.split()[-1] for call in calls if call.startswith("docker push ")]
    assert pushed == [f"r.example/a/kinora-{part}:0123" for part in DOCKERFILES]
    base = read_arg("submit", "PYTHON_IMAGE")
    for build, (part, path) in zip(builds, DOCKERFILES.items(), strict=True):
        assert f"--file {path.relative_to(ROOT)} " in build
        given = dict(pair.split("=", 1) for pair in re.findall(r"--build-arg (\S+)", build))
        on_cpus = part == "generate" and variant == "cpu"
        replaced = {"BASE_IMAGE": base, "TORCH_INDEX": "x"} if on_cpus else {}
        assert given == build_args(part) | replaced


@pytest.mark.parametrize(("port", "warned"), [("6443", False), ("7443", True)])
def test_an_api_server_on_an_unusual_port_is_a_warning(
    cluster: FakeCluster, port: str, warned: bool
) -> None:
    """The policy would keep `dispatch` from it; the deployment itself succeeds."""
    names = {"OVERLAY": "kind", "REGISTRY": "kind.local", "TAG": "0123abcd"}
    done = cluster.run("deploy.sh", **names, API_PORTS=port)
    assert done.returncode == 0, done.stderr
    assert (f"Add port {port}, the API server's" in done.stderr) is warned


def test_a_missing_storage_class_is_named_before_anything_is_changed(cluster: FakeCluster) -> None:
    """Its claims would wait for ever, and the deployment for its time limits."""
    names = {"OVERLAY": "h100-fleet", "REGISTRY": "registry.example", "TAG": "0123abcd"}
    done = cluster.run("deploy.sh", **names, MISSING="set-this")
    assert done.returncode == 1
    assert "There is no StorageClass set-this" in done.stderr
    assert {call["args"][0] for call in cluster.calls} == {"get"}


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _identity(item: Manifest) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


@pytest.mark.parametrize("script", ["deploy.sh", "undeploy.sh"])
def test_a_cluster_without_the_prometheus_operator_is_asked_for_none_of_its_kinds(
    cluster: FakeCluster, script: str
) -> None:
    """Kubectl would refuse the whole command."""
    names = {"OVERLAY": "h100", "REGISTRY": "registry.example", "TAG": "0123abcd"}
    done = cluster.run(script, **names, MISSING="monitoring")
    assert done.returncode == 0, done.stderr
    for call in cluster.calls:
        if call["args"][0] != "api-resources":
            assert "monitoring.coreos.com" not in " ".join(call["args"])


def test_what_a_removed_component_left_is_pruned(tmp_path: Path) -> None:
    """So is what a new component replaces; a claim, a Secret and all others stay."""
    scripts = shutil.copytree(KNATIVE, tmp_path / "knative")
    cluster = FakeCluster(_empty(tmp_path / "state"), scripts)
    names = {"OVERLAY": "h100", "REGISTRY": "registry.example", "TAG": "0123abcd"}
    overlay = scripts / "overlays" / "h100" / "kustomization.yaml"
    text = overlay.read_text()
    overlay.write_text(f"{text}components: [../../components/broker]\n")
    assert cluster.run("deploy.sh", **names).returncode == 0
    before, keys = set(map(_identity, cluster.objects)), cluster.secret("s3")
    overlay.write_text(f"{text}components: [../../components/outside-s3]\n")
    assert cluster.run("deploy.sh", **names).returncode == 0
    after = set(map(_identity, cluster.objects))
    assert before - after == {
        ("Deployment", "forward"), ("SinkBinding", "forward"), ("Broker", "videos"),
        ("NetworkPolicy", "forward"), ("NetworkPolicy", "nats-from-forward"),
        ("StatefulSet", "s3"), ("Service", "s3"), ("ServiceAccount", "s3"),
        ("NetworkPolicy", "s3"), ("NetworkPolicy", "ui-to-s3"),
    }  # fmt: skip
    assert ("PersistentVolumeClaim", "weights") in after
    assert cluster.secret("s3") == keys


def test_pruning_covers_every_kind_but_those_that_are_kept(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    """A claim holds data, and older revisions refer to the ConfigMaps of their time.

    kubectl itself prunes only what it applied; a Secret is neither listed nor applied.
    """
    done = cluster.run("deploy.sh", OVERLAY="h100", REGISTRY="registry.example", TAG="0123abcd")
    assert done.returncode == 0, done.stderr
    (call,) = [call for call in cluster.calls if "--prune" in call["args"]]
    assert call["namespace"] == "here"
    assert "-l app.kubernetes.io/part-of=kinora" in " ".join(call["args"])
    flag = "--prune-allowlist="
    pruned = {arg.removeprefix(flag) for arg in call["args"] if arg.startswith(flag)}
    kinds = {kind.rpartition("/")[2] for kind in pruned}
    assert not kinds & {"PersistentVolume", "PersistentVolumeClaim", "Secret", "Namespace"}
    components = [path.name for path in (KNATIVE / "components").iterdir()]
    for item in (
        item
        for name in OVERLAYS
        for item in with_components(name, *components, folder=_empty(tmp_path / f"overlay-{name}"))
    ):
        group, _, version = item["apiVersion"].rpartition("/")
        kept = item["kind"] in {"ConfigMap", "PersistentVolumeClaim", *OF_THE_CLUSTER}
        assert (f"{group or 'core'}/{version}/{item['kind']}" in pruned) is not kept, item


def _plural(kind: str) -> str:
    return re.sub(r"y$", "ie", kind.lower()) + "s"


@pytest.mark.parametrize("name", OVERLAYS)
def test_undeploying_deletes_everything_but_data(
    cluster: FakeCluster, tmp_path: Path, name: str
) -> None:
    """By label, so also objects of a component that is no longer in the overlay.

    The claim of the weights, which are slow to download, is kept, and so are priority classes,
    which other namespaces may use; Secrets are in no manifest.
    """
    assert cluster.run("undeploy.sh", OVERLAY=name).returncode == 0
    call, of_cluster = [call for call in cluster.calls if call["args"][0] == "delete"]
    _, kinds, *rest = call["args"]
    selector = "app.kubernetes.io/part-of=kinora,kinora.dev/keep!=true"
    assert rest == ["--ignore-not-found", "-l", selector]
    components = (path.name for path in (KNATIVE / "components").iterdir())
    (folder := tmp_path / "overlay").mkdir()
    for item in with_components(name, *components, folder=folder):
        group = item["apiVersion"].rpartition("/")[0]
        resource = ".".join(filter(None, [_plural(item["kind"]), group]))
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "kinora", item
        kept = item["metadata"]["labels"].get("kinora.dev/keep") == "true"
        assert kept is (item["kind"] in {"PersistentVolumeClaim", "PriorityClass"})
        if item["kind"].startswith("ValidatingAdmissionPolicy"):
            # By name: other namespaces have their own, with the same label.
            assert resource in of_cluster["args"][1].split(",")
            assert "kinora-dispatch.here" in of_cluster["args"]
            assert item["metadata"]["name"] == "kinora-dispatch.kinora"
            assert resource not in kinds.split(",")
            continue
        assert (resource in kinds.split(",")) is not kept
