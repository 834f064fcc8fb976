"""Refuses values that are not finite, which would end as black pixels in a completed video."""

from __future__ import annotations

import torch
from torch import Tensor

from functions.shared.errors import NotFinite
from functions.shared.video.progress import Stage


def require_finite(stage: Stage, *tensors: Tensor) -> None:
    """Return if `tensors` have neither an infinity nor a NaN; waits for the device.

    Raises:
        NotFinite: they do; the message names the stage that computed them.
    """
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise NotFinite(f"In the stage {stage}, values became infinite or undefined. Try again.")
