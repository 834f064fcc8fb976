"""`make deploy` and its scripts, with a kubectl in their way that has no cluster behind it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dockerfiles import PARTS, read_arg
from tests.manifests import KNATIVE, OVERLAYS, kubectl

# Keeps Secrets in files, and writes down what else it is asked for, and what for.
STAND_IN = """#!/usr/bin/env python3
import json, os, pathlib, re, subprocess, sys

args, state = sys.argv[1:], pathlib.Path(os.environ["STATE"])
if args[0] == "kustomize":
    sys.exit(subprocess.run([os.environ["KUBECTL"], *args]).returncode)
namespace = None
if args[0] == "-n":
    namespace, args = args[1], args[2:]
file = None
for flag in ("-f", "--patch-file"):
    if flag in args:
        name = args[args.index(flag) + 1]
        file = sys.stdin.read() if name in ("-", "/dev/stdin") else pathlib.Path(name).read_text()
with (state / "log").open("a") as log:
    log.write(json.dumps({"namespace": namespace, "args": args, "file": file}) + "\\n")
secret = state / f"secret-{args[2] if len(args) > 2 else ''}"
if args[:2] == ["get", "secret"]:
    if not secret.exists():
        sys.exit("not found")
    path = args[args.index("-o") + 1] if "-o" in args else ""
    key = re.search(r"data[.](\\w+)", path)
    print(json.loads(secret.read_text()).get(key[1], "") if key else "there")
elif args[:3] == ["create", "secret", "generic"]:
    (state / f"secret-{args[3]}").write_text("{}")
elif args[:2] == ["patch", "secret"]:
    secret.write_text(json.dumps(json.loads(secret.read_text()) | json.loads(file)["stringData"]))
elif args[:2] == ["get", "namespace"]:
    sys.exit("not found")
"""


class Cluster:
    """Runs the scripts, and knows what they asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / "kubectl"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        for name in ("kind", "docker"):
            (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "$STATE/engine"\n')
            (folder / name).chmod(0o755)

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts in knative/."""
        environ = {
            "PATH": f"{self._folder}:/usr/bin:/bin:{os.environ['PATH']}",
            "STATE": str(self._folder),
            "KUBECTL": kubectl(),
            "NAMESPACE": "here",
            **variables,
        }
        return subprocess.run(
            [KNATIVE / script], env=environ, capture_output=True, text=True, check=False
        )

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Every call, in its order."""
        return [json.loads(line) for line in (self._folder / "log").read_text().splitlines()]

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret."""
        values: dict[str, str] = json.loads((self._folder / f"secret-{name}").read_text())
        return values


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """No cluster."""
    return Cluster(tmp_path)


def test_secrets_are_random_and_stay(cluster: Cluster) -> None:
    """Each value is its own, none begins with a digit, and a second run changes none."""
    assert cluster.run("secrets.sh").returncode == 0
    values = [*cluster.secret("nats").values(), *cluster.secret("s3").values()]
    assert len(values) == len(set(values)) == 10
    assert all(re.fullmatch(r"k[0-9a-f]{40}", value) for value in values)
    before = cluster.secret("nats")
    assert cluster.run("secrets.sh").returncode == 0
    assert cluster.secret("nats") == before
    # Nobody who lists processes sees them.
    assert not any(value in json.dumps(call["args"]) for call in cluster.asked for value in values)


@pytest.mark.parametrize("name", OVERLAYS)
def test_deploying_goes_from_the_platform_to_the_functions(cluster: Cluster, name: str) -> None:
    """Namespace, platform, Secrets, weights, everything: each applied before it is waited for."""
    done = cluster.run("deploy.sh", OVERLAY=name, REGISTRY="registry.example", TAG="0123abcd")
    assert done.returncode == 0, done.stderr
    acts = [" ".join(call["args"]) for call in cluster.asked]
    order = [
        "create namespace here",
        "label --overwrite namespace here pod-security.kubernetes.io/enforce=restricted",
        f"apply --server-side --force-conflicts -k {KNATIVE}/platform/{name}",
        "create secret generic nats",
        "delete job set-up weights --ignore-not-found",
        *(["wait job/weights --for=condition=Complete --timeout=6h"] if name == "h100" else []),
        "rollout status statefulset/nats --timeout=15m",
        "wait job/set-up --for=condition=Complete --timeout=15m",
        "wait services.serving.knative.dev --all --for=condition=Ready --timeout=30m",
    ]
    places = [acts.index(act) for act in order]
    assert places == sorted(places)
    applied = [call for call in cluster.asked if call["args"][:2] == ["apply", "-f"]]
    everything = applied[-1]
    assert "-l" not in everything["args"]
    assert everything["namespace"] == "here"
    kinds = [item["kind"] for item in yaml.safe_load_all(everything["file"])]
    assert kinds.count("SinkBinding") == 1
    assert "registry.example/kinora-generate:0123abcd" in everything["file"]


def test_deploying_says_what_is_missing(cluster: Cluster) -> None:
    """Without registry, tag or overlay nothing is done."""
    assert "OVERLAY=kind" in cluster.run("deploy.sh").stderr
    assert "REGISTRY=" in cluster.run("deploy.sh", OVERLAY="kind").stderr
    assert "REGISTRY=" in cluster.run("images.sh", TAG="x").stderr


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_images_are_built_with_their_arguments(
    cluster: Cluster, tmp_path: Path, variant: str
) -> None:
    """Five images with one tag; for CPUs, `generate` is built on the base of the others."""
    done = cluster.run(
        "images.sh", REGISTRY="r.example/a", TAG="0123", VARIANT=variant, PUSH="1", TORCH_INDEX="x"
    )
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "engine").read_text().splitlines()
    builds = [call for call in calls if call.startswith("docker build ")]
    pushed = [call.split()[-1] for call in calls if call.startswith("docker push ")]
    assert pushed == [f"r.example/a/kinora-{part}:0123" for part in PARTS]
    assert len(builds) == len(PARTS)
    base = read_arg("submit", "PYTHON_IMAGE")
    for build in builds:
        special = "kinora-generate:" in build and variant == "cpu"
        assert (f"--build-arg BASE_IMAGE={base} --build-arg TORCH_INDEX=x" in build) is special


def test_undeploying_leaves_the_data(cluster: Cluster) -> None:
    """What is slow to fetch again, and what opens the data, stays."""
    assert cluster.run("undeploy.sh", OVERLAY="h100").returncode == 0
    (call,) = cluster.asked
    assert call["args"] == [
        "delete",
        "--ignore-not-found",
        "-f",
        "-",
        "-l",
        "kinora.dev/keep!=true",
    ]
    kept = [
        item["kind"]
        for item in yaml.safe_load_all(call["file"])
        if item["metadata"]["labels"].get("kinora.dev/keep") == "true"
    ]
    assert kept == ["PersistentVolumeClaim"]
