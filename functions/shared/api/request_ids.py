"""Request ids, which every response carries in `x-request-id`."""

from __future__ import annotations

import random
import re
from typing import Final

_FROM_CALLER: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(sent: str = "") -> str:
    """The caller's own id if it is safe to log, else a new one."""
    return sent if _FROM_CALLER.fullmatch(sent) else _new_request_id()


def _new_request_id() -> str:
    # Ids need not be unpredictable, and reading the system's random numbers costs a thread switch.
    return f"req_{random.getrandbits(128):032x}"
