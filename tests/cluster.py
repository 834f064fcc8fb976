"""Three NATS servers that keep every message three times, in place of one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from local.probes import Probe
from local.processes import Process
from tests.ports import free_ports

SERVERS = ("nats-1", "nats-2", "nats-3")


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
  # Clients use the addresses that they were given, which may be those of a proxy.
  no_advertise: true
}}
""")
        argv = [single.argv[0], "-c", str(config)]
        servers.append(replace(single, name=name, argv=argv, probe=Probe("nats", ports[name])))
    return servers
