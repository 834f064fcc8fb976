"""Previews: what a video will look like, as pictures made while it is denoised.

Flow matching predicts a velocity that points from the noise to the clip, so each step also gives an
estimate of the finished latents. One latent frame of it, from the middle of the clip, is decoded
like a video of one frame. The other ranks wait meanwhile, at the next exchange of predictions, so
it is made only while all previews of a video together take at most a small share of its time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from functions.generate.engine.messages import PreviewLimits
from functions.generate.engine.model.media import encode_jpeg

_log = logging.getLogger(__name__)

# The part of the steps before the first preview: earlier estimates show little but a blur.
FIRST_PART: Final = 0.2


@dataclass
class PreviewCosts:
    """Bounds on what a preview takes on this machine, from what was decoded here before."""

    # Seconds, by the size of a latent frame.
    _seconds: dict[int, float] = field(default_factory=dict)

    def record_preview(self, latent: Tensor, seconds: float) -> None:
        """Note what a preview of a frame of `latent` has taken."""
        self._seconds[_frame_size(latent)] = seconds

    def record_video(self, latents: Tensor, seconds: float) -> None:
        """Note what decoding, and writing, the whole video of `latents` has taken."""
        # A preview is decoded like one of these frames, and writes less. So what one took on a busy
        # machine is forgotten here.
        size = _frame_size(latents)
        known = self._seconds.get(size, math.inf)
        self._seconds[size] = min(known, seconds / latents.shape[2])

    def bound(self, latents: Tensor) -> float:
        """What a preview of `latents` takes at most, in seconds; infinite if nothing is known."""
        # Costs grow with the size, and no faster, because a part of them is the same for each.
        size = _frame_size(latents)
        return min(
            (cost * max(1.0, size / known) for known, cost in self._seconds.items()),
            default=math.inf,
        )


class Previewer:
    """Makes previews of one video after another.

    Args:
        decode: from normalized latents to frames, as `StreamingDecoder.decode`.
        limits: how often, and at which cost, previews are made.
        clock: returns seconds.

    Attributes:
        costs: what is known of their costs.
        limits: as given.
        clock: as given.
    """

    def __init__(
        self,
        decode: Callable[[Tensor], Iterable[Tensor]],
        limits: PreviewLimits,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.costs: Final = PreviewCosts()
        self.limits: Final = limits
        self.clock: Final = clock
        self._decode = decode

    def make(self, latents: Tensor) -> bytes:
        """The middle of the clip as a JPEG, in the video's size; waits for the device.

        Args:
            latents: of the whole clip, as `StreamingDecoder.decode` takes them.

        Raises:
            NotFinite: the picture has values that are not finite.
        """
        began = self.clock()
        # A video of one latent frame has one frame: the last of the six that the decoder makes of
        # it. Of these, it depends least on the latent frames before, which are missing here; and
        # in the whole video, it is the thumbnail.
        middle = latents[:, :, latents.shape[2] // 2].unsqueeze(2)
        (frame,) = torch.cat([chunk.cpu() for chunk in self._decode(middle)])
        picture = encode_jpeg(frame.contiguous().numpy())
        self.costs.record_preview(latents, self.clock() - began)
        return picture

    def warm_up(self, latents: Tensor) -> None:
        """Let the device prepare for previews of the size of `latents`, and learn their cost."""
        if self.limits.seconds > 0:
            for _ in range(2):  # the first one also prepares, and its cost is replaced
                self.make(latents)

    def of_video(self) -> VideoPreviews:
        """The previews of a video whose render begins now."""
        return VideoPreviews(self)


class VideoPreviews:
    """Decides after which steps of one video a preview is made."""

    def __init__(self, previewer: Previewer) -> None:
        self._previewer = previewer
        self._began = previewer.clock()
        self._last = -math.inf
        self._spent = 0.0
        self._failed = False

    def after_step(self, done: int, total: int, estimate: Callable[[], Tensor]) -> bytes | None:
        """A preview after step `done` of `total`, as a JPEG; None if there is none now.

        Never raises: without a preview, a video is as good.

        Args:
            done: counts from 1.
            total: the number of steps.
            estimate: returns the finished latents, as far as they can be estimated.
        """
        now = self._previewer.clock()
        seconds = self._previewer.limits.seconds
        soon = seconds <= 0 or now - self._last < seconds
        # After the last step, the video itself is about to be decoded.
        if soon or self._failed or not total * FIRST_PART <= done < total:
            return None
        try:
            return self._make_within_limits(now, estimate())
        except Exception as error:  # noqa: BLE001 - whatever it is, a later step meets it as well
            # Not the traceback: its frames would keep tensors alive.
            _log.warning("no more previews of this video: %s: %s", type(error).__name__, error)
            self._failed = True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _make_within_limits(self, now: float, latents: Tensor) -> bytes | None:
        expected = self._previewer.costs.bound(latents)
        if self._spent + expected > self._previewer.limits.share * (now - self._began):
            return None
        picture = self._previewer.make(latents)
        self._last = self._previewer.clock()
        self._spent += self._last - now
        return picture


def _frame_size(latents: Tensor) -> int:
    return latents.shape[3] * latents.shape[4]
