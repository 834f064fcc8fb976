"""What a caller sent, and the answers that it got."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class CallerRecord:
    """One request for a video, with every answer that its caller got.

    Attributes:
        nonce: the last word of the prompt; it identifies the request in the streams.
        interface: how it was sent: `http`, `http with key`, `cloudevent`, `nats`, `poison` or
            `dropped`.
        fields: the requested fields, except the prompt.
        outcome: `accepted`; `refused` by `submit` itself, so that it must never run; or `unknown`.
        answered_at: when the outcome was recorded, in seconds since the epoch.
        idempotent: sent with an id or key, so that a retry creates no second video.
        follow_up: `cancel`, `delete` or `none`.
        follow_up_result: the answer to it: None if not sent, `unknown` without an answer, else
            `deleted`, or the video's error code or status.
        foreign_statuses: the HTTP statuses of another account's attempts to access the video.
    """

    nonce: str
    account: str
    interface: str
    idempotent: bool
    fields: dict[str, Any]
    outcome: str = "unknown"
    video_id: str | None = None
    answered_at: float = 0.0
    follow_up: str = "none"
    follow_up_result: str | None = None
    foreign_statuses: list[int] = field(default_factory=list)

    def set_outcome(self, outcome: str, video_id: str | None = None) -> None:
        """Record the outcome and the current time."""
        self.outcome, self.video_id, self.answered_at = outcome, video_id, time.time()
