"""How many requests a second an account may send to this process: a token bucket for each."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Final

from flask import g

from functions.shared.errors import RateLimited

# What an account has not used of this many seconds, it may send at once.
BURST_SECONDS: Final = 2.0


@dataclass
class _Bucket:
    tokens: float
    refilled_at: float


class RateLimits:
    """Counts the requests of each account. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, account: str, per_second: float) -> None:
        """Count the current HTTP request, once however often this is called for it.

        Raises:
            RateLimited: `account` has sent more than `per_second`. This one does not count.
        """
        if "counted" in g:
            return
        wait = self.take(account, per_second)
        if wait > 0:
            raise RateLimited(
                f"Your account may send {per_second:g} requests a second here, and sends more. "
                f"Try again in {math.ceil(wait)} s.",
                retry_after=math.ceil(wait),
            )
        g.counted = True

    def take(self, account: str, per_second: float) -> float:
        """Take a token of `account`; returns 0, or the seconds until there is one."""
        most = max(1.0, per_second * BURST_SECONDS)
        with self._lock:
            now = time.monotonic()
            bucket = self._buckets.setdefault(account, _Bucket(most, now))
            refilled = bucket.tokens + (now - bucket.refilled_at) * per_second
            bucket.tokens, bucket.refilled_at = min(most, refilled), now
            if bucket.tokens < 1:
                return (1 - bucket.tokens) / per_second
            bucket.tokens -= 1
            return 0.0
