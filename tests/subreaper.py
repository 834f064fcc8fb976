"""Ends everything that a process has started once that process is gone, even by SIGKILL.

The subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) is the parent of the process that runs tests. What
loses its own parent becomes the subreaper's child, whatever session or process group it is in, so
nothing escapes it. It kills all of them when the process that runs tests has ended, or when its own
parent has, such as pytest-xdist's controller.

As a program it runs another one: `python subreaper.py PROGRAM ARGUMENT...`.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_SIGNALS = {signal.SIGINT, signal.SIGCHLD}


def continue_under_subreaper() -> None:
    """Return in a child process, whose descendants end when it ends, or when the caller does.

    The calling process does not return: it passes SIGINT on, and exits with the child's status.
    Call it before any thread is started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # none may be lost between fork and wait
    subreaper = os.fork()
    if subreaper:
        os._exit(_exit_status_of(subreaper))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    _become_subreaper()


def _exit_status_of(subreaper: int) -> int:
    while True:
        pid, status = os.waitpid(subreaper, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) & 0xFF
        # From a terminal, SIGINT goes to the whole process group. One that was sent to this process
        # alone (si_code <= 0: by kill(2)) has to be passed on.
        received = signal.sigwaitinfo(_SIGNALS)
        if received.si_signo == signal.SIGINT and received.si_code <= 0:
            os.kill(subreaper, signal.SIGUSR1)


def _become_subreaper() -> None:
    """Return in a child process; in this one, wait for its end or the parent's, and clean up."""
    parent = os.pidfd_open(os.getppid())
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        os.close(parent)
        return
    # It outlasts the others in their process group, to clean up after them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(child, signal.SIGINT))
    status = _wait_for_end(child, parent)
    _kill_descendants()
    os._exit(status)


def _wait_for_end(child: int, parent: int) -> int:
    """Return the exit status of `child`, or 1 when the process of the pidfd `parent` ended first.

    Meanwhile it reaps orphans, as an init process does.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    poll.register(parent, select.POLLIN)
    while True:
        with suppress(BlockingIOError):
            os.read(read_end, 4096)
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                status = os.waitstatus_to_exitcode(ended[1])
                return status if status >= 0 else 128 - status
        if any(fd == parent for fd, _ in poll.poll()):
            return 1


def _kill_descendants() -> None:
    while True:
        for pid in _descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants() -> list[int]:
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # proc(5): the parent is the second field after the name, which is in parentheses.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children[parent].append(int(stat.parent.name))
    found = [os.getpid()]
    for pid in found:
        found += children[pid]
    return found[1:]


if __name__ == "__main__":
    _become_subreaper()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted
