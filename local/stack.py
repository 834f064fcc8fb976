"""The settings of one local stack, and the paths of its data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.ports import MAX_REPLICAS, Ports, derive_ports, whole_number

ROOT = Path(__file__).absolute().parent.parent
DEFAULT_MODEL = "functions/generate/demo/checkpoint"


@dataclass(frozen=True)
class Stack:
    """One local stack.

    Attributes:
        root: the checkout; the working directory of every process.
        data: the folder of everything that is kept after a stop.
        ports: where each part listens.
        replicas: how many `generate` processes run.
        model: a folder (relative to `root`) or hub id with Mochi's weights.
        ready_seconds: time-out of the start.
        environ: the environment that the stack was started in; it passes settings to the functions.
    """

    root: Path
    data: Path
    ports: Ports
    replicas: int
    model: str
    ready_seconds: int
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Stack:
        """Read PORT, NATS_PORT, S3_PORT, KINORA_DATA, GENERATE_REPLICAS, MODEL and the rest.

        Raises:
            SettingsError: one of them is invalid; the message says which and why.
        """
        replicas = whole_number(environ, "GENERATE_REPLICAS", 2, 1, MAX_REPLICAS)
        return cls(
            root=root,
            # Relative to the checkout, not to the working directory.
            data=root / Path(environ.get("KINORA_DATA") or ".kinora").expanduser(),
            ports=derive_ports(environ, replicas),
            replicas=replicas,
            model=environ.get("MODEL") or DEFAULT_MODEL,
            # The demo model is ready within seconds; the real one loads 28 GiB of weights.
            ready_seconds=whole_number(environ, "KINORA_READY_SECONDS", 120, 1, 3600),
            environ=dict(environ),
        )

    @property
    def url(self) -> str:
        """The address of the gateway."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    def log_of(self, name: str) -> Path:
        """Return the log file of the process `name`."""
        return self.data / "logs" / f"{name}.log"
