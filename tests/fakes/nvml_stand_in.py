# ruff: noqa: D102, N802, N803, ARG002 - the library's names and arguments, which it documents
"""A stand-in for NVIDIA's management library: no GPU, and no driver, is part of it.

It has the functions of `pynvml` that Kinora calls, under their names and with their arguments,
which a test compares. Their results are what a test sets. What a real driver answers, and when, it
does not show.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml  # type: ignore[import-untyped]  # ships none


@dataclass
class StandInGpu:
    """What the library tells of a GPU; `error` is raised instead, if it is set."""

    uuid: str
    utilization: int = 97
    memory_used: int = 40 << 30
    memory_total: int = 80 << 30
    milliwatts: int = 690_500
    celsius: int = 71
    reasons: int = pynvml.nvmlClocksEventReasonSwPowerCap
    error: Exception | None = None
    power_error: Exception | None = None

    def told(self, value: Any) -> Any:
        """A value, or the error."""
        if self.error is not None:
            raise self.error
        return value


@dataclass
class StandInNvml:
    """The library. Its methods have the names and the arguments of pynvml's functions."""

    gpus: list[StandInGpu] = field(default_factory=list)
    init_error: Exception | None = None
    events: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)

    def report_xid(self, gpu: StandInGpu, xid: int) -> None:
        """Let the driver report a critical error."""
        kind = pynvml.nvmlEventTypeXidCriticalError
        self.events.put(SimpleNamespace(device=gpu, eventType=kind, eventData=xid))

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise self.init_error

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> StandInGpu:
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, handle: StandInGpu) -> str:
        return str(handle.told(handle.uuid))

    def nvmlDeviceGetUtilizationRates(self, handle: StandInGpu) -> Any:
        return handle.told(SimpleNamespace(gpu=handle.utilization, memory=0))

    def nvmlDeviceGetMemoryInfo(self, handle: StandInGpu, version: Any = None) -> Any:
        return handle.told(SimpleNamespace(used=handle.memory_used, total=handle.memory_total))

    def nvmlDeviceGetPowerUsage(self, handle: StandInGpu) -> int:
        if handle.power_error is not None:
            raise handle.power_error
        return int(handle.told(handle.milliwatts))

    def nvmlDeviceGetTemperature(self, handle: StandInGpu, sensor: int) -> int:
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return int(handle.told(handle.celsius))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: StandInGpu) -> int:
        return int(handle.told(handle.reasons))

    def nvmlEventSetCreate(self) -> object:
        return self.events

    def nvmlDeviceRegisterEvents(self, handle: StandInGpu, eventTypes: int, eventSet: Any) -> None:
        assert eventTypes == pynvml.nvmlEventTypeXidCriticalError
        assert eventSet is self.events
        handle.told(None)

    def nvmlEventSetWait_v2(self, eventSet: Any, timeoutms: int) -> Any:
        try:
            return eventSet.get(timeout=min(timeoutms, 50) / 1000)
        except queue.Empty:
            raise pynvml.NVMLError_Timeout from None
