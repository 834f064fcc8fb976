"""`make cluster` and `make deploy` say at once what a machine lacks, with stand-ins for docker."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

import pytest

from local.probes import is_free
from tests.fake_cluster import FakeCluster
from tests.manifests import KNATIVE
from tests.ports import free_ports

DEPLOY = {"OVERLAY": "kind", "REGISTRY": "kind.local", "TAG": "0123abcd"}
GB = 1_000_000_000


@pytest.fixture
def port() -> int:
    """The gateway's port on this machine, in place of 8080."""
    return free_ports(1)[0]


@pytest.fixture
def cluster(tmp_path: Path, port: int) -> FakeCluster:
    """A machine that has everything, but no cluster yet."""
    scripts = shutil.copytree(KNATIVE, tmp_path / "knative")
    config = (scripts / "kind.yaml").read_text()
    (scripts / "kind.yaml").write_text(config.replace("hostPort: 8080", f"hostPort: {port}"))
    (programs := tmp_path / "programs").mkdir()
    return FakeCluster(programs, scripts)


def _lacks(cluster: FakeCluster, script: str = "cluster.sh", **variables: str) -> list[str]:
    """What the script says is missing; it does nothing else then."""
    done = cluster.run(script, **DEPLOY, **variables)
    assert done.returncode == 1, done.stdout
    assert not [call for call in cluster.engine_calls if re.match("kind (create|load)", call)]
    assert {call["args"][0] for call in cluster.calls} <= {"version", "config"}
    return [line[2:] for line in done.stderr.splitlines() if line.startswith("- ")]


def test_a_machine_that_has_everything_gets_a_cluster(cluster: FakeCluster) -> None:
    """With Knative and this project's changes to it."""
    done = cluster.run("cluster.sh")
    assert done.returncode == 0, done.stderr
    assert [call for call in cluster.engine_calls if call.startswith("kind create cluster")]
    applied = " ".join(word for call in cluster.calls for word in call["args"])
    for file in ("serving-core.yaml", "kourier.yaml", "eventing-core.yaml", "config-network.yaml"):
        assert file in applied


@pytest.mark.parametrize("script", ["cluster.sh", "deploy.sh"])
def test_everything_that_is_missing_is_said_at_once(cluster: FakeCluster, script: str) -> None:
    """On a machine with two CPUs, pods would stay Pending until a time-out of ten minutes."""
    cluster.describe_machine(NCPU=2, MemTotal=4 * GB)
    cpus, memory, kind = sorted(_lacks(cluster, script, KIND="0.20.0"))
    assert cpus.startswith("Docker has 2 CPUs, and 6 are needed: ")
    assert memory.startswith("Docker has 4.0 GB of memory, and 8 are needed: ")
    assert kind.startswith("kind is 0.20.0, and 0.30 is the oldest that works: ")


@pytest.mark.parametrize(
    ("program", "variable", "old"),
    [
        ("docker", "DOCKER", "20.10.24"),
        ("kind", "KIND", "0.29.0"),
        ("kubectl", "VERSION", "v1.9.0"),
    ],
)
def test_a_program_that_is_too_old_is_named(
    cluster: FakeCluster, program: str, variable: str, old: str
) -> None:
    """With the version that is needed, and where to get it."""
    (problem,) = _lacks(cluster, **{variable: old})
    assert problem.startswith(f"{program} is {old.removeprefix('v')}, and ")
    assert "https://" in problem


@pytest.mark.parametrize("program", ["docker", "kind", "kubectl"])
def test_a_program_that_is_missing_is_named(cluster: FakeCluster, program: str) -> None:
    """With where to get it."""
    cluster.remove(program)
    (problem,) = _lacks(cluster)
    assert problem.startswith(f"{program} is missing: https://")


def test_a_docker_without_its_server_is_named(cluster: FakeCluster) -> None:
    """It prints zeros then, which are not the machine's."""
    cluster.describe_machine(NCPU=0, MemTotal=0, ServerErrors=["Cannot connect"])
    (problem,) = _lacks(cluster)
    assert problem.startswith("Docker does not answer: ")


def test_a_full_disk_and_a_port_in_use_are_named(cluster: FakeCluster, port: int) -> None:
    """A cluster that exists already has both, so they are checked only before it is created."""
    cluster.describe_machine(DockerRootDir="/proc")  # a file system without free space
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        disk, used = _lacks(cluster)
        assert cluster.run("cluster.sh", CLUSTERS="kinora").returncode == 0
    assert disk.startswith("/proc has 0.0 GB of free disk space, and 12 are needed: ")
    assert used.startswith(f"port {port} is in use: ")


def test_only_a_laptops_overlay_is_checked_and_only_if_wanted(cluster: FakeCluster) -> None:
    """Another cluster's nodes are not this machine, and a user may know better."""
    cluster.describe_machine(NCPU=2)
    h100 = DEPLOY | {"OVERLAY": "h100"}
    assert cluster.run("deploy.sh", **h100).returncode == 0
    assert cluster.run("deploy.sh", **DEPLOY, SKIP_CHECKS="1").returncode == 0
    assert cluster.run("cluster.sh", SKIP_CHECKS="1").returncode == 0


def test_the_readme_asks_for_what_is_checked() -> None:
    """The numbers are the same."""
    readme = (KNATIVE / "README.md").read_text()
    script = (KNATIVE / "check_machine.py").read_text()
    numbers = {name: int(found) for name, found in re.findall(r"(?m)^(\w+) = (\d+)$", script)}
    wanted = f"{numbers['CPUS']} CPUs and {numbers['MEMORY_GB']} GB of memory"
    assert wanted in readme
    assert f"about {numbers['DISK_GB']} GB of disk" in readme
