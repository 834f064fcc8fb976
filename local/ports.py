"""Every port of the local stack, derived from three settings.

A second stack beside the first needs nothing but other values of PORT, NATS_PORT, S3_PORT and
KINORA_DATA, for example 8180, 4322 and 8433.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from local.probes import is_free

MAX_REPLICAS = 8  # ports are reserved for this many replicas of `generate`
_LAST_PORT = 65535
# Below Linux's ephemeral ports: an outgoing connection could take one before the server starts.
_FREE_AMONG = range(10_000, 20_000)
# weed's worker looks for its admin server's gRPC port here, whatever -admin.port.grpc says.
_WEED_GRPC_OFFSET = 10_000


class SettingsError(Exception):
    """A setting of the local stack is invalid; the message names it and the remedy."""


@dataclass(frozen=True)
class Ports:
    """The ports of one stack, all of them on 127.0.0.1.

    Attributes:
        by_name: the port of each listener, by its name in messages.
        setting_of: the setting that moves the listener of that name.
    """

    by_name: Mapping[str, int]
    setting_of: Mapping[str, str]

    def __getitem__(self, name: str) -> int:
        """Return the port of the listener `name`."""
        return self.by_name[name]

    def generate(self) -> list[int]:
        """Return the ports of the `generate` processes, in order."""
        return [port for name, port in self.by_name.items() if name.startswith("generate-")]


def derive_ports(environ: Mapping[str, str], replicas: int) -> Ports:
    """Derive all ports from PORT, NATS_PORT and S3_PORT.

    Raises:
        SettingsError: a value is not a port, or two listeners would share one.
    """
    http, http_last = ["gateway", "submit", "status", "dispatch", "activator"], 9 + MAX_REPLICAS
    port = whole_number(environ, "PORT", 8080, 1024, _LAST_PORT - http_last)
    nats = whole_number(environ, "NATS_PORT", 4222, 1024, _LAST_PORT)
    # weed's pairs of HTTP and gRPC, one after the other.
    weed = ["s3", "s3-grpc", "master", "master-grpc", "volume", "volume-grpc", "filer"]
    weed += ["filer-grpc", "admin"]
    s3_last = len(weed) - 1 + _WEED_GRPC_OFFSET
    s3 = whole_number(environ, "S3_PORT", 8333, 1024, _LAST_PORT - s3_last)

    by_setting = {
        "PORT": {name: port + offset for offset, name in enumerate(http)}
        | {f"generate-{n}": port + 9 + n for n in range(1, replicas + 1)},
        "NATS_PORT": {"nats": nats},
        "S3_PORT": {name: s3 + offset for offset, name in enumerate(weed)}
        | {"admin-grpc": s3 + s3_last},
    }
    by_name = {name: port for group in by_setting.values() for name, port in group.items()}
    setting_of = {name: setting for setting, group in by_setting.items() for name in group}
    _refuse_collisions(by_name, setting_of)
    return Ports(by_name, setting_of)


def free_settings(replicas: int = 2, *, among: range = _FREE_AMONG) -> dict[str, str]:
    """Choose PORT, NATS_PORT and S3_PORT so that all ports that follow from them are free now.

    For a stack whose address need not be known in advance, such as a test's. The three are chosen
    from `among`.
    """
    while True:
        port, nats, s3 = random.sample(among, 3)
        settings = {"PORT": str(port), "NATS_PORT": str(nats), "S3_PORT": str(s3)}
        try:
            ports = derive_ports(settings, replicas)
        except SettingsError:
            continue
        if all(is_free(port) for port in ports.by_name.values()):
            return settings


def whole_number(
    environ: Mapping[str, str], setting: str, default: int, least: int, most: int
) -> int:
    """Read a setting that must be a whole number from `least` to `most`.

    Raises:
        SettingsError: it is anything else.
    """
    text = environ.get(setting) or str(default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise SettingsError(
            f"{setting} must be a whole number from {least} to {most}, and is {text!r}"
        )
    return int(text)


def _refuse_collisions(by_name: Mapping[str, int], setting_of: Mapping[str, str]) -> None:
    for port, times in Counter(by_name.values()).items():
        if times > 1:
            names = [name for name, its_port in by_name.items() if its_port == port]
            settings = sorted({setting_of[name] for name in names})
            raise SettingsError(
                f"port {port} would be used by {' and '.join(names)}: "
                f"choose {' and '.join(settings)} further apart"
            )
