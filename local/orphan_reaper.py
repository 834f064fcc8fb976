"""Kills a stack's process group when its supervisor exits, even by SIGKILL.

The supervisor starts this first, as the leader of the process group that all other processes join,
grandchildren included. Standard input is a pipe that only the supervisor holds open. Its end means
that the supervisor has stopped everything or has died; either way, no process may remain.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Wait for the supervisor to exit, then kill the process group, this process included."""
    # The supervisor handles these; this process must outlast its shutdown.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
