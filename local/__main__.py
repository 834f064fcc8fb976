"""`python -m local`, run by `make run`: all of Kinora on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from pathlib import Path

from local.files import prepare
from local.ports import SettingsError
from local.preflight import check
from local.processes import processes, set_up
from local.stack import Stack
from local.supervisor import Supervisor


def main() -> int:
    """Run the stack; return the exit status: 0 after Ctrl-C or SIGTERM, else 1."""
    try:
        stack = Stack.from_environ()
        check(stack)
        lock = _lock(stack.data)
        credentials = prepare(stack)
    except (SettingsError, OSError) as error:
        print(f"kinora: {error}", file=sys.stderr)
        return 1
    print(f"Kinora starts; its logs are in {stack.data / 'logs'}", flush=True)
    supervisor = Supervisor(stack, processes(stack, credentials), set_up(stack, credentials), lock)
    status = asyncio.run(supervisor.run())
    print("Kinora has stopped.", flush=True)
    return status


def _lock(data: Path) -> int:
    """Lock the data folder until every copy of the returned file descriptor is closed.

    Raises:
        SettingsError: another stack uses the folder.
    """
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SettingsError(
            f"another Kinora uses the data folder {data}: stop it or choose another with "
            "KINORA_DATA="
        ) from error
    return lock


if __name__ == "__main__":
    sys.exit(main())
