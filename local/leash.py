"""Ends whatever is left of a stack when its supervisor is gone, even by SIGKILL.

The supervisor starts this first, as the leader of the process group that all other processes join,
grandchildren included. Standard input is a pipe that only the supervisor holds open: its end means
that the supervisor has stopped everything or is gone, and either way nothing may stay.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Wait for the end of the supervisor, then kill the process group, this process included."""
    # A stop is the supervisor's affair; this process must be there until it is done.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
