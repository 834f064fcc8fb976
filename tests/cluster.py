"""Three NATS servers that keep every message three times, in place of one."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import nats
import nats.errors
from nats.js.api import ClusterInfo

from functions.shared.streams.nats_address import client_options
from local.probes import Probe
from local.processes import Process
from tests.patience import scaled
from tests.ports import free_ports

SERVERS: Final = ("nats-1", "nats-2", "nats-3")


def cluster(single: Process, folder: Path) -> list[Process]:
    """The processes of a cluster, made from that of a `single` server; data goes to `folder`."""
    ports = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
    routes = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
    servers = []
    for name in SERVERS:
        config = folder / f"{name}.conf"
        others = [f"nats://127.0.0.1:{port}" for port in routes.values()]
        config.write_text(f"""\
listen: "127.0.0.1:{ports[name]}"
server_name: {name}
jetstream {{ store_dir: {json.dumps(str(folder / name))} }}
cluster {{
  name: kinora
  listen: "127.0.0.1:{routes[name]}"
  routes: {json.dumps(others)}
  # Clients must use their configured addresses, which may be those of a proxy.
  no_advertise: true
}}
""")
        argv = [single.argv[0], "-c", str(config)]
        servers.append(replace(single, name=name, argv=argv, probe=Probe("nats", ports[name])))
    return servers


def replicas_in_sync(url: str) -> bool:
    """Whether every server of the cluster at `url` is up to date with all streams and consumers.

    Three copies survive the loss of one. Lost while another one lags, an acknowledged message may
    be gone: the empty server and the late one are a majority, and would agree without it.
    """
    try:
        return asyncio.run(_replicas_in_sync(url))
    except (nats.errors.Error, OSError):
        return False


def leader(url: str, stream: str) -> str | None:
    """The server of the cluster at `url` that leads `stream`; None while there is no leader."""
    try:
        return asyncio.run(_leader(url, stream))
    except (nats.errors.Error, OSError):
        return None


async def _leader(url: str, stream: str) -> str | None:
    async with await nats.connect(
        **client_options(url), allow_reconnect=False, connect_timeout=_timeout(), error_cb=_ignore
    ) as client:
        # A stream without a leader gets no answer.
        info = await client.jetstream(timeout=scaled(2)).stream_info(stream)
    return info.cluster.leader if info.cluster else None


async def _replicas_in_sync(url: str) -> bool:
    async with await nats.connect(
        **client_options(url), allow_reconnect=False, connect_timeout=_timeout(), error_cb=_ignore
    ) as client:
        context = client.jetstream(timeout=scaled(2))
        for stream in await context.streams_info():
            name = stream.config.name or ""
            consumers = await context.consumers_info(name)
            if not all(map(_has_all, [stream.cluster, *(one.cluster for one in consumers)])):
                return False
    return True


def _has_all(cluster: ClusterInfo | None) -> bool:
    # An ordered consumer is kept by one server, and nothing waits for its copies.
    return cluster is None or (
        bool(cluster.leader)
        and all(peer.current and not peer.lag for peer in cluster.replicas or ())
    )


def _timeout() -> int:
    return math.ceil(scaled(2))


async def _ignore(_: Exception) -> None:
    """The call raises it anyway; nats-py would log it with its traceback too."""
