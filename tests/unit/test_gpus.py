"""What `generate` tells of its GPUs, with a stand-in for NVIDIA's library."""

from __future__ import annotations

import inspect
from typing import Any, cast

import pynvml  # type: ignore[import-untyped]  # ships none
import pytest
from prometheus_client import CollectorRegistry

from functions.generate.gpus import watch
from functions.generate.gpus.gpu_metrics import GpuMetrics
from functions.generate.gpus.watch import GpuWatch
from tests.fakes.nvml_stand_in import StandInGpu, StandInNvml
from tests.patience import wait_until

FIRST = {"gpu": "0", "uuid": "GPU-a"}
SECOND = {"gpu": "1", "uuid": "GPU-b"}


class Watched:
    """The metrics of a replica with these GPUs."""

    def __init__(self, nvml: StandInNvml) -> None:
        self.registry = CollectorRegistry()
        gpus = GpuWatch(cast("Any", nvml))
        gpus.start()
        self.registry.register(GpuMetrics(gpus.reports))

    def value(self, name: str, **labels: str) -> float | None:
        """A sample's value; None without the sample."""
        return self.registry.get_sample_value(f"kinora_gpu_{name}", labels)

    def wait_for(self, expected: float | None, name: str, **labels: str) -> None:
        """Wait until the sample has this value."""
        wait_until(
            lambda: self.value(name, **labels) == expected, seconds=10, what=f"{name}: {expected}"
        )


@pytest.fixture
def nvml() -> StandInNvml:
    """Two GPUs."""
    return StandInNvml([StandInGpu("GPU-a"), StandInGpu("GPU-b", utilization=3)])


def test_the_stand_in_has_the_librarys_functions() -> None:
    """Each has the name and the arguments of the real one."""
    names = [name for name in vars(StandInNvml) if name.startswith("nvml")]
    assert len(names) > 10
    for name in names:
        real = inspect.signature(getattr(pynvml, name)).parameters
        ours = inspect.signature(getattr(StandInNvml(), name)).parameters
        assert list(ours) == list(real), name


def test_each_gpu_is_told_of_by_its_uuid(nvml: StandInNvml) -> None:
    """In base units: a share, bytes, watts and degrees Celsius."""
    watched = Watched(nvml)
    watched.wait_for(0.97, "utilization_ratio", **FIRST)
    assert watched.value("utilization_ratio", **SECOND) == 0.03
    assert watched.value("memory_used_bytes", **FIRST) == 40 << 30
    assert watched.value("memory_total_bytes", **FIRST) == 80 << 30
    assert watched.value("power_watts", **FIRST) == 690.5
    assert watched.value("temperature_celsius", **FIRST) == 71
    assert watched.value("answering", **FIRST) == 1


@pytest.mark.parametrize(
    ("bit", "reason"),
    [
        (pynvml.nvmlClocksEventReasonSwPowerCap, "power_cap"),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "thermal"),
        (pynvml.nvmlClocksEventReasonHwSlowdown, "hardware"),
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown, "hardware_thermal"),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, "power_brake"),
        (pynvml.nvmlClocksEventReasonGpuIdle, None),
    ],
)
def test_reasons_of_lower_clocks_are_told_apart(
    nvml: StandInNvml, bit: int, reason: str | None
) -> None:
    """An idle GPU is not throttled."""
    nvml.gpus[0].reasons = bit
    watched = Watched(nvml)
    watched.wait_for(1, "answering", **FIRST)
    for name in ("power_cap", "thermal", "hardware", "hardware_thermal", "power_brake"):
        assert watched.value("throttled", reason=name, **FIRST) == (name == reason)


def test_errors_that_the_driver_reports_are_counted(nvml: StandInNvml) -> None:
    """By NVIDIA's number, and by the GPU, also by one that no longer answers."""
    watched = Watched(nvml)
    nvml.report_xid(nvml.gpus[0], 31)
    nvml.report_xid(nvml.gpus[0], 31)
    nvml.gpus[1].error = pynvml.NVMLError_GpuIsLost()
    nvml.report_xid(nvml.gpus[1], 79)
    watched.wait_for(2, "xid_errors_total", xid="31", **FIRST)
    watched.wait_for(1, "xid_errors_total", xid="79", **SECOND)


def test_a_lost_gpu_is_told_of_without_values(nvml: StandInNvml) -> None:
    """The other one goes on."""
    watched = Watched(nvml)
    watched.wait_for(1, "answering", **SECOND)
    nvml.gpus[1].error = pynvml.NVMLError_GpuIsLost()
    watched.wait_for(0, "answering", **SECOND)
    assert watched.value("utilization_ratio", **SECOND) is None
    assert watched.value("answering", **FIRST) == 1


def test_a_driver_that_hangs_is_a_gpu_that_does_not_answer(
    nvml: StandInNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old values are not told as if they were new, and nobody waits for the driver."""
    watched = Watched(nvml)
    watched.wait_for(1, "answering", **FIRST)
    monkeypatch.setattr(watch, "SILENT_SECONDS", 0)
    assert watched.value("answering", **FIRST) == 0
    assert watched.value("power_watts", **FIRST) is None


def test_what_a_gpu_does_not_tell_is_left_out(nvml: StandInNvml) -> None:
    """Some kinds have no power sensor, for example."""
    nvml.gpus[0].power_error = pynvml.NVMLError_NotSupported()
    watched = Watched(nvml)
    watched.wait_for(1, "answering", **FIRST)
    assert watched.value("power_watts", **FIRST) is None
    assert watched.value("temperature_celsius", **FIRST) == 71


def test_without_a_driver_there_are_no_gpus() -> None:
    """The real library says so on a machine without one; the metrics have no samples."""
    watched = Watched(StandInNvml(init_error=pynvml.NVMLError_LibraryNotFound()))
    families = {family.name: family.samples for family in watched.registry.collect()}
    assert len(families) == 8
    assert not any(families.values())
