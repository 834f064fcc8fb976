"""Breaks what a plan says, mends it again, and notes which videos lost their worker."""

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

from tests.cluster import in_step
from tests.e2e.faults.plan import BUSY_WORKER, PAST_LEASE, Fault
from tests.e2e.faults.proxy import Proxy
from tests.e2e.faults.stack import WORKERS, FaultyStack
from tests.patience import wait_until

log = logging.getLogger(__name__)

SLOW_SECONDS: Final = 0.3
_DEADLY: Final = frozenset({"kill", "kill worker"})


@dataclass(frozen=True)
class LostWorker:
    """A video that was being made when its worker `died` or `froze`, `at` that time."""

    how: str
    video_id: str
    attempt: int
    at: float


class Injector:
    """Injects faults into a stack, each on a thread of its own."""

    def __init__(self, stack: FaultyStack) -> None:
        """Break parts of `stack`."""
        self.done: Counter[tuple[str, str]] = Counter()
        # The first loss of each attempt: what happens to its worker later makes no difference.
        self.lost_workers: dict[tuple[str, int], LostWorker] = {}
        # When `submit` was ended: what it still had to undo, it could not.
        self.submit_ended: list[float] = []
        self.errors: list[str] = []
        self._stack = stack
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._over = threading.Event()
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
            "refuse": lambda fault: self._for_a_while(fault, Proxy.refuse),
            "stall": lambda fault: self._for_a_while(fault, Proxy.stall),
            "slow": lambda fault: self._for_a_while(fault, lambda p: p.slow(SLOW_SECONDS)),
            "errors": lambda fault: self._for_a_while(fault, Proxy.spoil),
        }

    def begin(self, fault: Fault) -> None:
        """Inject a fault, and mend it after its time, without waiting for either."""
        thread = threading.Thread(target=self._one, args=(fault,), name=fault.kind)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """Mend everything now, and wait until it is whole."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._stack.heal()

    def _one(self, fault: Fault) -> None:
        # One long freeze at a time: with both workers gone nothing would be taken over.
        with self._locks[PAST_LEASE] if fault.kind == PAST_LEASE else nullcontext():
            target = self._busy_worker() if fault.target == BUSY_WORKER else fault.target
            self._inject(replace(fault, target=target))

    def _busy_worker(self) -> str:
        while True:
            for name in WORKERS:
                if not self._locks[name].locked() and self._stack.video_on(name):
                    return name
            if self._over.wait(0.05):
                return WORKERS[0]

    def _inject(self, fault: Fault) -> None:
        # One fault at a time for each part: what is being restarted can't be frozen.
        with self._locks[fault.target]:
            if self._over.is_set():
                return
            try:
                with self._noted(fault):
                    # Under the lock of all servers, so that a cluster loses one at a time.
                    part = self._stack.part(fault.target)
                    self._kinds[fault.kind](replace(fault, target=part))
            except psutil.NoSuchProcess:
                log.info("%s: another fault was there before", fault)
            except Exception as problem:  # noqa: BLE001 - a part that does not come back is a finding
                self.errors.append(f"{fault}: {problem!r}")

    @contextmanager
    def _noted(self, fault: Fault) -> Iterator[None]:
        self.done[fault.kind, fault.target] += 1
        if fault.target in WORKERS and fault.kind in _DEADLY | {PAST_LEASE}:
            video = self._stack.video_on(fault.target)
            if video is not None:
                how = "died" if fault.kind in _DEADLY else "froze"
                self.lost_workers.setdefault(video, LostWorker(how, *video, time.time()))
        if fault.target == "submit" and fault.kind in _DEADLY | {"terminate"}:
            self.submit_ended.append(time.time())
        yield

    def _kill(self, fault: Fault) -> None:
        self._stack.kill(fault.target)
        self._over.wait(fault.seconds)
        self._stack.start(fault.target)

    def _lose_data(self, fault: Fault) -> None:
        # One disk at a time, as whoever replaces it would see to: another server that lags has
        # lost something too.
        self._wait_in_step()
        self._stack.kill(fault.target)
        self._stack.remove_data(fault.target)
        self._over.wait(fault.seconds)
        self._stack.start(fault.target)
        self._wait_in_step()

    def _wait_in_step(self) -> None:
        wait_until(
            lambda: in_step(self._stack.nats_url), seconds=60, what="every server has everything"
        )

    def _kill_engine(self, fault: Fault) -> None:
        engine = self._stack.engines.of(fault.target)
        if engine is not None:
            engine.kill()

    def _freeze_engine(self, fault: Fault) -> None:
        engine = self._stack.engines.of(fault.target)
        if engine is not None:
            engine.suspend()
            self._over.wait(fault.seconds)
            engine.resume()

    def _terminate(self, fault: Fault) -> None:
        self._stack.stop(fault.target, seconds=120)
        self._stack.start(fault.target)

    def _freeze(self, fault: Fault) -> None:
        frozen = self._stack.freeze(fault.target)
        self._over.wait(fault.seconds)
        for process in frozen:
            process.resume()
        self._stack.wait_ready(fault.target)

    def _proxy(self, fault: Fault) -> Proxy:
        return self._stack.proxies[fault.target]

    def _for_a_while(self, fault: Fault, harm: Callable[[Proxy], None]) -> None:
        harm(self._proxy(fault))
        self._over.wait(fault.seconds)
        self._proxy(fault).heal()
