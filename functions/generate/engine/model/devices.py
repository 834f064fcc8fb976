"""The GPU as this process uses it: whether torch can, and when it can no more."""

from __future__ import annotations

import warnings


class NoGpu(Exception):
    """Torch can use no GPU, for the reason that the message says in one line."""


class DeviceLost(Exception):
    """No call in this process can use its GPU any more, or reach the other rank's."""


def require_gpu() -> None:
    """Return if torch can use a GPU; it is imported.

    Raises:
        NoGpu: it can use none.
    """
    import torch  # noqa: PLC0415 - seconds, which most processes of this module need not spend

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)  # what torch says of drivers
        if torch.cuda.is_available():
            return
    if said:  # of a driver that is too old, for example
        reason = " ".join(str(said[0].message).split())
    else:
        built = torch.version.cuda or torch.version.hip
        reason = "it finds none" if built else "this build of it is for CPUs"
    raise NoGpu(
        f"this model needs a GPU, and torch can't use one: {reason}. The demo model runs on a CPU: "
        "leave MODEL and MODEL_PROFILE unset"
    )
