"""Reads the GPUs every few seconds, and counts the errors that the driver reports."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import pynvml  # type: ignore[import-untyped]  # ships none

from functions.generate.gpus.readings import Gpu, GpuReading, read_gpu

log = logging.getLogger(__name__)

# Between two readings; the driver's own samples are up to a second old.
READ_SECONDS: Final = 2.0
# A lost GPU may let a call to the driver hang: then all GPUs count as not answering.
SILENT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class GpuReport:
    """The state of one GPU.

    Attributes:
        gpu: which one.
        reading: what it does; None if it does not answer.
        xids: how often the driver has reported each error, by its number.
    """

    gpu: Gpu
    reading: GpuReading | None
    xids: dict[int, int]


class GpuWatch:
    """Watches all GPUs that this process sees; none where there is no driver of NVIDIA.

    The driver is asked on a thread of its own, which nothing waits for.
    """

    def __init__(self, nvml: ModuleType = pynvml) -> None:
        """Ask `nvml`, once `start` has been called."""
        self._nvml = nvml
        self._lock = threading.Lock()
        self._handles: dict[Gpu, Any] = {}
        self._readings: dict[Gpu, GpuReading] = {}
        self._read_at = 0.0
        self._xids: Counter[tuple[str, int]] = Counter()
        self._events: Any = None

    def start(self) -> None:
        """Find the GPUs, and watch them if there are any."""
        try:
            self._nvml.nvmlInit()
            self._find()
        except pynvml.NVMLError as problem:
            # No driver is no GPU, as on a laptop. Anything else is worth a look.
            absent = isinstance(problem, pynvml.NVMLError_LibraryNotFound)
            log.log(logging.DEBUG if absent else logging.WARNING, "no GPUs: NVML: %s", problem)
            return
        if self._handles:
            self._read_at = time.monotonic()
            threading.Thread(target=self._watch, name="gpus", daemon=True).start()

    def reports(self) -> list[GpuReport]:
        """The GPUs, as last read."""
        with self._lock:
            fresh = time.monotonic() - self._read_at < SILENT_SECONDS
            return [
                GpuReport(
                    gpu,
                    self._readings.get(gpu) if fresh else None,
                    {xid: count for (uuid, xid), count in self._xids.items() if uuid == gpu.uuid},
                )
                for gpu in self._handles
            ]

    def _find(self) -> None:
        for number in range(self._nvml.nvmlDeviceGetCount()):
            handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
            self._handles[Gpu(number, self._nvml.nvmlDeviceGetUUID(handle))] = handle
        self._events = self._nvml.nvmlEventSetCreate()
        for gpu, handle in self._handles.items():
            try:
                self._nvml.nvmlDeviceRegisterEvents(
                    handle, pynvml.nvmlEventTypeXidCriticalError, self._events
                )
            except pynvml.NVMLError as problem:
                log.warning("GPU %d: errors are not counted: NVML: %s", gpu.number, problem)

    def _watch(self) -> None:
        while True:
            self.read()
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, int(READ_SECONDS * 1000))
            except pynvml.NVMLError_Timeout:
                continue
            except pynvml.NVMLError as problem:
                log.debug("NVML reports no errors now: %s", problem)
                time.sleep(READ_SECONDS)
            else:
                self._count(event)

    def read(self) -> None:
        """Ask the driver about each GPU once."""
        readings: dict[Gpu, GpuReading] = {}
        for gpu, handle in self._handles.items():
            try:
                readings[gpu] = read_gpu(self._nvml, handle)
            except pynvml.NVMLError as problem:
                if gpu in self._readings:
                    log.error("GPU %d (%s): NVML: %s", gpu.number, gpu.uuid, problem)  # noqa: TRY400 - one line
        with self._lock:
            self._readings, self._read_at = readings, time.monotonic()

    def _count(self, event: Any) -> None:
        if event.eventType != pynvml.nvmlEventTypeXidCriticalError:
            return
        try:
            uuid = self._nvml.nvmlDeviceGetUUID(event.device)
        except pynvml.NVMLError:
            # It is lost, and then its handle is all that is left of it.
            uuid = next((gpu.uuid for gpu, one in self._handles.items() if one is event.device), "")
        log.error("GPU %s: Xid %d", uuid, event.eventData)
        with self._lock:
            self._xids[uuid, int(event.eventData)] += 1
