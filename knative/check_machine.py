"""Says at once what a machine lacks for the overlay `kind`: `python check_machine.py cluster`.

Without it, pods stay Pending, and `make cluster` and `make deploy` time out after ten minutes.
`deploy` instead of `cluster` leaves out what a running cluster already has.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# README.md has the same numbers. The pods of Kubernetes, Knative and Kinora request more than four
# CPUs together.
CPUS = 6
MEMORY_GB = 8
DISK_GB = 12
GB = 1_000_000_000
KIND_CONFIG = Path(__file__).with_name("kind.yaml")

# The first kind with the node's image of cluster.sh; of kubectl, one minor version older than it.
KIND = (0, 30)
KUBECTL = (1, 33)
# BuildKit, which the Dockerfiles need, is its default builder.
DOCKER = (23, 0)

INSTALL = {
    "docker": "https://docs.docker.com/engine/install",
    "kind": "https://kind.sigs.k8s.io",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
}
VERSIONS = {
    "docker": (DOCKER, ["docker", "version", "--format", "{{.Client.Version}}"]),
    "kind": (KIND, ["kind", "version"]),
    "kubectl": (KUBECTL, ["kubectl", "version", "--client", "--output=json"]),
}


def problems(goal: str) -> Iterator[str]:
    """Each thing that is missing, with its remedy, on one line; `goal` is cluster or deploy."""
    for program in VERSIONS:
        yield from _program(program)
    if shutil.which("docker") is None:
        return
    info = _output(["docker", "info", "--format", "{{json .}}"])
    machine = json.loads(info) if info else {}
    # Without its server, the client prints what it knows and zeros.
    if not machine.get("NCPU"):
        yield "Docker does not answer: start it, and check with `docker info` that you may use it"
        return
    yield from _machine(machine)
    if goal == "cluster" and "kinora" not in (_output(["kind", "get", "clusters"]) or "").split():
        yield from _room(Path(machine.get("DockerRootDir", "")))


def _program(name: str) -> Iterator[str]:
    if shutil.which(name) is None:
        yield f"{name} is missing: {INSTALL[name]}"
        return
    least, command = VERSIONS[name]
    found = re.search(r"(\d+)\.(\d+)[.\d]*", _output(command) or "")
    wanted = ".".join(map(str, least))
    if found is None:
        yield f"`{' '.join(command)}` names no version: install {name} {wanted} or newer"
    elif (int(found[1]), int(found[2])) < least:
        yield f"{name} is {found[0]}, and {wanted} is the oldest that works: {INSTALL[name]}"


def _machine(info: dict[str, int]) -> Iterator[str]:
    remedy = "use a larger machine, or with Docker Desktop raise its limit in Settings, Resources"
    if info["NCPU"] < CPUS:
        yield f"Docker has {info['NCPU']} CPUs, and {CPUS} are needed: {remedy}"
    if info["MemTotal"] < MEMORY_GB * GB:
        has = f"{info['MemTotal'] / GB:.1f} GB of memory"
        yield f"Docker has {has}, and {MEMORY_GB} are needed: {remedy}"


def _room(docker_root: Path) -> Iterator[str]:
    # With Docker Desktop, the folder is inside its virtual machine.
    if docker_root.is_dir() and (free := shutil.disk_usage(docker_root).free) < DISK_GB * GB:
        has = f"{docker_root} has {free / GB:.1f} GB of free disk space"
        yield f"{has}, and {DISK_GB} are needed: `docker system prune` frees some"
    for port in map(int, re.findall(r"hostPort: (\d+)", KIND_CONFIG.read_text())):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen()
            except OSError:
                yield f"port {port} is in use: stop what listens there, such as `make run`"


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout


if __name__ == "__main__":
    missing = list(problems(sys.argv[1]))
    if missing:
        sys.exit("\n".join(["This machine lacks:", *(f"- {problem}" for problem in missing)]))
