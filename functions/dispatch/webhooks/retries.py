"""When a webhook is tried again, after the Standard Webhooks specification 1.0.0."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 3600.0

# "Deliverability and reliability": the pauses after each failure, about three days in all.
PAUSES: Final = (
    5.0,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
# So much longer than said, at most, so that what failed together does not come back together.
JITTER: Final = 0.1


def pause_after(
    attempt: int, *, retry_after: float | None = None, pauses: Sequence[float] = PAUSES
) -> float | None:
    """Seconds to wait after the failure of `attempt` (from 1), or None to give up.

    What the endpoint asked for (`retry_after`) counts if it is longer, up to the longest pause.
    """
    if attempt > len(pauses):
        return None
    pause = max(pauses[attempt - 1], min(retry_after or 0.0, pauses[-1]))
    return pause * random.uniform(1, 1 + JITTER)  # noqa: S311 - jitter is no secret


def read_retry_after(text: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3), if it is one."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])  # more digits than that are no wait but a mistake
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    # Without a zone it is in GMT, as every date in HTTP.
    return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now)
