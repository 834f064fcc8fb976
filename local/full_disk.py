"""What NATS does on a disk without room, and what ends it.

After a write that failed, nats-server 2.15 stores nothing more on that stream until it restarts,
also once there is room again.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

# A line of nats-server's log. A test lets a real server write it.
WRITE_ERROR = re.compile(r"critical write error: .*?(?P<reason>[^:]+)$", re.IGNORECASE)
# With less, NATS would stop again within a few videos.
_ROOM_BYTES = 4 << 20
_POLL_SECONDS = 1.0


async def wait_for_room(folder: Path) -> None:
    """Return once files can grow in `folder`, whatever limits them: a disk, a quota."""
    # The kernel tells nobody when there is room again.
    while not await asyncio.to_thread(_has_room, folder):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _has_room(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, _ROOM_BYTES)
    except OSError:
        return False
    return True
