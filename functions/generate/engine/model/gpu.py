"""Whether this process can use a GPU, and the error for when it no longer can."""

from __future__ import annotations

import warnings


class NoGpu(Exception):
    """Torch can't use a GPU; the message says why, in one line."""


class DeviceLost(Exception):
    """This process can no longer use its GPU, or reach the other rank's."""


def device_name(rank: int) -> str:
    """The name of the GPU of rank `rank`, or `CPU`."""
    import torch  # noqa: PLC0415 - as below

    return torch.cuda.get_device_name(rank) if torch.cuda.is_available() else "CPU"


def require_gpu() -> None:
    """Return if torch can use a GPU.

    Raises:
        NoGpu: it can't.
    """
    import torch  # noqa: PLC0415 - takes seconds, and most callers of this module don't need it

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)  # torch's warnings about drivers
        if torch.cuda.is_available():
            return
    if caught:  # about a driver that is too old, for example
        reason = " ".join(str(caught[0].message).split())
    else:
        built_for = torch.version.cuda or torch.version.hip
        reason = "it finds none" if built_for else "this is a CPU-only build of it"
    raise NoGpu(
        f"this model needs a GPU, and torch can't use one: {reason}. The demo model runs on a CPU: "
        "leave MODEL and MODEL_PROFILE unset"
    )
