"""Free ports for the servers of tests, distinct between processes of pytest-xdist."""

from __future__ import annotations

import os
import random
from typing import Final

from local.ports import free_settings
from local.probes import is_free

# Processes of pytest-xdist are called gw0, gw1, ... A port is chosen seconds before a server
# listens on it, so each process chooses from a range of its own. All lie below Linux's
# ephemeral ports: an outgoing connection could take one before the server starts.
_PROCESSES: Final = 8
_WIDTH: Final = 10_000 // _PROCESSES
_NUMBER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % _PROCESSES

_GIVEN: Final[set[int]] = set()


def stack_settings(replicas: int = 2) -> dict[str, str]:
    """PORT, NATS_PORT and S3_PORT of a stack, with all ports that follow from them free now."""
    first = 10_000 + _NUMBER * _WIDTH
    return free_settings(replicas, among=range(first, first + _WIDTH))


def free_ports(count: int) -> list[int]:
    """`count` free ports that were not returned before and are outside the range of stacks."""
    first = 20_000 + _NUMBER * _WIDTH
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(first, first + _WIDTH)
        # One that was returned before may not be listened on yet.
        if port not in _GIVEN and is_free(port):
            _GIVEN.add(port)
            found.append(port)
    return found
