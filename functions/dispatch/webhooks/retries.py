"""When a failed webhook is retried, as the Standard Webhooks specification 1.0.0 recommends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from functions.shared.timestamps import HOUR_SECONDS, MINUTE_SECONDS

# "Deliverability and reliability": seconds to wait after each failure, about three days in all.
RETRY_DELAYS: Final = (
    5.0,
    5.0 * MINUTE_SECONDS,
    30.0 * MINUTE_SECONDS,
    2.0 * HOUR_SECONDS,
    5.0 * HOUR_SECONDS,
    10.0 * HOUR_SECONDS,
    14.0 * HOUR_SECONDS,
    20.0 * HOUR_SECONDS,
    24.0 * HOUR_SECONDS,
)
# The largest fraction by which a delay is lengthened, so that what failed together is not retried
# together.
JITTER: Final = 0.1


def retry_delay(
    attempt: int, *, retry_after: float | None = None, delays: Sequence[float] = RETRY_DELAYS
) -> float | None:
    """Seconds to wait after the failure of `attempt` (from 1), or None to give up.

    `retry_after`, which the endpoint asked for, applies if it is longer than the scheduled delay,
    up to the longest one.
    """
    if attempt > len(delays):
        return None
    delay = max(delays[attempt - 1], min(retry_after or 0.0, delays[-1]))
    return delay * random.uniform(1, 1 + JITTER)  # noqa: S311 - jitter is no secret


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3); None if invalid."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])  # nine digits are thirty years: more can only be a mistake
    try:
        when = parsedate_to_datetime(text)
        # Dates in HTTP are in GMT; without a zone, too.
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError, TypeError):
        return None
