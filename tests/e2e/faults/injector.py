"""Injects the faults of a schedule, ends them, and records which videos lost their worker."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

import psutil

from tests.cluster import replicas_in_sync
from tests.e2e.faults.operations import Operations
from tests.e2e.faults.proxy import Proxy
from tests.e2e.faults.schedule import BUSY_WORKER, PAST_LEASE, Fault
from tests.e2e.faults.stack import WORKERS, FaultyStack
from tests.patience import wait_until

log = logging.getLogger(__name__)

SLOW_SECONDS: Final = 0.3
_DEADLY: Final = frozenset({"kill", "kill worker"})


@dataclass(frozen=True)
class LostWorker:
    """A video whose worker `died` or `froze` (`how`), and when, in seconds since the epoch."""

    how: str
    video_id: str
    attempt: int
    at: float


class Injector:
    """Injects faults into a stack, each on its own thread."""

    def __init__(self, stack: FaultyStack) -> None:
        """Inject faults into `stack`."""
        self.injected: Counter[tuple[str, str]] = Counter()
        # The first loss of each attempt; what happens to its worker later has no effect on it.
        self.lost_workers: dict[tuple[str, int], LostWorker] = {}
        # When `submit` exited: requests that it had just refused may not have been withdrawn.
        self.submit_exits: list[float] = []
        self.errors: list[str] = []
        self._stack = stack
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._kinds: dict[str, Callable[[Fault], None]] = {
            "kill": self._kill,
            "lose data": self._lose_data,
            "kill worker": lambda fault: self._stack.kill_worker(fault.target),
            "kill engine": self._kill_engine,
            "freeze engine": self._freeze_engine,
            "terminate": self._terminate,
            "freeze": self._freeze,
            PAST_LEASE: self._freeze,
            "cut": lambda fault: self._proxy(fault).cut(),
            "refuse": lambda fault: self._degrade(fault, Proxy.refuse),
            "stall": lambda fault: self._degrade(fault, Proxy.stall),
            "slow": lambda fault: self._degrade(fault, lambda p: p.slow(SLOW_SECONDS)),
            "errors": lambda fault: self._degrade(fault, Proxy.answer_errors),
            **Operations(stack, self._stopping).kinds,
        }

    def inject(self, fault: Fault) -> None:
        """Inject a fault, and end it after its duration, both in the background."""
        thread = threading.Thread(target=self._run, args=(fault,), name=fault.kind)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """End all faults now, and wait until the stack is healthy."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._stack.heal()

    def _run(self, fault: Fault) -> None:
        # One long freeze at a time: with both workers frozen, no video could be taken over.
        with self._locks[PAST_LEASE] if fault.kind == PAST_LEASE else nullcontext():
            target = self._busy_worker() if fault.target == BUSY_WORKER else fault.target
            self._inject(replace(fault, target=target))

    def _busy_worker(self) -> str:
        while True:
            for name in WORKERS:
                if not self._locks[name].locked() and self._stack.video_on(name):
                    return name
            if self._stopping.wait(0.05):
                return WORKERS[0]

    def _inject(self, fault: Fault) -> None:
        # One fault per target at a time: a process that is restarting can't be frozen.
        with self._locks[fault.target]:
            if self._stopping.is_set():
                return
            try:
                with self._recorded(fault):
                    # One lock for all NATS servers, so that a cluster loses one at a time.
                    process = self._stack.resolve_target(fault.target)
                    self._kinds[fault.kind](replace(fault, target=process))
            except psutil.NoSuchProcess:
                log.info("%s: another fault had already ended the process", fault)
            except Exception as error:  # noqa: BLE001 - a failed recovery is a violation
                self.errors.append(f"{fault}: {error!r}")

    @contextmanager
    def _recorded(self, fault: Fault) -> Iterator[None]:
        self.injected[fault.kind, fault.target] += 1
        if fault.target in WORKERS and fault.kind in _DEADLY | {PAST_LEASE}:
            video = self._stack.video_on(fault.target)
            if video is not None:
                how = "died" if fault.kind in _DEADLY else "froze"
                self.lost_workers.setdefault(video, LostWorker(how, *video, time.time()))
        if fault.target == "submit" and fault.kind in _DEADLY | {"terminate"}:
            self.submit_exits.append(time.time())
        yield

    def _kill(self, fault: Fault) -> None:
        self._stack.kill(fault.target)
        self._stopping.wait(fault.seconds)
        self._stack.start(fault.target)

    def _lose_data(self, fault: Fault) -> None:
        # One disk at a time, as an operator would replace them: a server that lags lacks data too.
        self._wait_in_sync()
        self._stack.kill(fault.target)
        self._stack.remove_data(fault.target)
        self._stopping.wait(fault.seconds)
        self._stack.start(fault.target)
        self._wait_in_sync()

    def _wait_in_sync(self) -> None:
        wait_until(
            lambda: replicas_in_sync(self._stack.nats_url),
            seconds=60,
            what="all replicas are in sync",
        )

    def _kill_engine(self, fault: Fault) -> None:
        engine = self._stack.engines.of(fault.target)
        if engine is not None:
            engine.kill()

    def _freeze_engine(self, fault: Fault) -> None:
        engine = self._stack.engines.of(fault.target)
        if engine is not None:
            engine.suspend()
            self._stopping.wait(fault.seconds)
            engine.resume()

    def _terminate(self, fault: Fault) -> None:
        self._stack.stop(fault.target, seconds=120)
        self._stack.start(fault.target)

    def _freeze(self, fault: Fault) -> None:
        frozen = self._stack.freeze(fault.target)
        self._stopping.wait(fault.seconds)
        for process in frozen:
            process.resume()
        self._stack.wait_ready(fault.target)

    def _proxy(self, fault: Fault) -> Proxy:
        return self._stack.proxies[fault.target]

    def _degrade(self, fault: Fault, apply: Callable[[Proxy], None]) -> None:
        apply(self._proxy(fault))
        self._stopping.wait(fault.seconds)
        self._proxy(fault).heal()
