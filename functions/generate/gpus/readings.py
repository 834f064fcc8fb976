"""What NVML tells of one GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, TypeVar

import pynvml  # type: ignore[import-untyped]  # ships none

T = TypeVar("T")

# Bits of `nvmlDeviceGetCurrentClocksEventReasons`, by the label of the metric.
THROTTLE_REASONS: Final = {
    "power_cap": pynvml.nvmlClocksEventReasonSwPowerCap,
    "thermal": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
    "hardware": pynvml.nvmlClocksEventReasonHwSlowdown,
    "hardware_thermal": pynvml.nvmlClocksEventReasonHwThermalSlowdown,
    "power_brake": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
}


@dataclass(frozen=True)
class Gpu:
    """A GPU of this replica: its number here, and NVIDIA's name for it anywhere."""

    number: int
    uuid: str


@dataclass(frozen=True)
class GpuReading:
    """What a GPU does. None is what this kind of GPU does not tell.

    Attributes:
        utilization: the share of the driver's last sample in which a kernel ran.
        memory_used: in bytes.
        memory_total: in bytes.
        watts: the power that it draws.
        celsius: its temperature.
        throttled: whether its clocks are lowered, by the reason.
    """

    utilization: float | None
    memory_used: int | None
    memory_total: int | None
    watts: float | None
    celsius: float | None
    throttled: dict[str, bool] | None


def read_gpu(nvml: ModuleType, handle: Any) -> GpuReading:
    """Ask the driver about one GPU, which takes a millisecond or two.

    Raises:
        pynvml.NVMLError: it does not answer for this GPU.
    """
    memory = _told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    used = _told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    milliwatts = _told(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    celsius = _told(lambda: nvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
    reasons = _told(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    return GpuReading(
        utilization=None if used is None else used.gpu / 100,
        memory_used=None if memory is None else memory.used,
        memory_total=None if memory is None else memory.total,
        watts=None if milliwatts is None else milliwatts / 1000,
        celsius=celsius,
        throttled=None
        if reasons is None
        else {name: bool(reasons & bit) for name, bit in THROTTLE_REASONS.items()},
    )


def _told(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    # The second: the driver is older than the function.
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return None
