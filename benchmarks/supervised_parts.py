"""Runs the parts of a benchmark in a child process: one that fails or hangs costs only itself.

Every figure reaches the caller at once. After a failure the next part gets a new process: a GPU
whose memory was accessed illegally is of no more use to the old one. Imports no torch.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, Final

Figure = Mapping[str, Any]
# What a part is called with: takes the fields of a figure.
Emit = Callable[..., None]
# For a process to start and to import torch and diffusers, on a busy machine.
START_SECONDS: Final = 120.0
_CONTEXT: Final = multiprocessing.get_context("spawn")  # CUDA does not survive a fork


@dataclass(frozen=True)
class Part:
    """A part of a benchmark.

    Attributes:
        name: appears in each of its figures.
        target: `module:function`; the function is called with an `Emit` and `arguments`.
        arguments: can be pickled.
        limit: in seconds, after which it is killed; starting its process does not count.
        unable: why it can't run here; it is skipped.
    """

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    limit: float = 120
    unable: str | None = None


@dataclass(frozen=True)
class _Began:
    """Child to parent: its next part begins; all that it needs is imported."""


@dataclass(frozen=True)
class _Ended:
    """Child to parent: its current part is over."""

    failure: str | None = None


def run_parts(parts: Sequence[Part], budget: float, emit: Callable[[Figure], None]) -> None:
    """Run `parts` in their order, within `budget` seconds.

    Args:
        parts: the most valuable first.
        budget: a part that runs when it is used up is killed; those after it are skipped.
        emit: called with each figure as it is known, and with `failed` or `skipped` and the reason
            for each part that is not completed.
    """
    end = time.monotonic() + budget
    left = deque(part for part in parts if part.unable is None)
    for part in parts:
        if part.unable is not None:
            emit({"part": part.name, "skipped": part.unable})
    while left and time.monotonic() < end:
        _run_until_a_failure(left, end, emit)
    for part in left:
        emit({"part": part.name, "skipped": f"the budget of {budget:g} s is used up"})


def _run_until_a_failure(left: deque[Part], end: float, emit: Callable[[Figure], None]) -> None:
    """Run parts in one process; removes those that are over from `left`, at least one."""
    connection, childs = _CONTEXT.Pipe(duplex=False)
    child = _CONTEXT.Process(target=_run_in_child, args=(childs, tuple(left)), daemon=False)
    child.start()
    childs.close()
    try:
        while left:
            failure = _follow(connection, left[0], end, emit)
            part = left.popleft()
            if failure is not None:
                emit({"part": part.name, "failed": failure})
                return
    finally:
        child.kill()
        child.join()


def _follow(
    connection: Connection, part: Part, end: float, emit: Callable[[Figure], None]
) -> str | None:
    """Emit the figures of `part` until it is over; returns why it failed, if it did."""
    seconds = START_SECONDS
    limit = time.monotonic() + seconds
    while True:
        left = min(limit, end) - time.monotonic()
        if left <= 0 or not connection.poll(left):
            slow = f"took more than {seconds:g} s"
            return slow if limit <= end else "was running when the budget was used up"
        try:
            message = connection.recv()
        except EOFError:
            return "its process died"
        if isinstance(message, _Began):
            seconds = part.limit
            limit = time.monotonic() + seconds
            continue
        if isinstance(message, _Ended):
            return message.failure
        emit({"part": part.name, **message})


def _run_in_child(connection: Connection, parts: Sequence[Part]) -> None:
    def emit(**figure: Any) -> None:
        connection.send(figure)

    # The parent is gone: nobody reads any more.
    with suppress(BrokenPipeError):
        for part in parts:
            module, _, function = part.target.partition(":")
            try:
                measure = getattr(import_module(module), function)
                connection.send(_Began())
                measure(emit, **part.arguments)
            except Exception as error:  # noqa: BLE001 - whatever fails is named, and others go on
                traceback.print_exc()
                connection.send(_Ended(f"{type(error).__name__}: {error}"[:300]))
                return
            connection.send(_Ended())
