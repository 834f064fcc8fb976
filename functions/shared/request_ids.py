"""Request ids: in `x-request-id` of every response, in log lines, and in the events that follow."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, Final

from structlog.contextvars import get_contextvars

HEADER: Final = "x-request-id"
# The CloudEvents extension attribute, whose name may have lower-case letters and digits only.
EXTENSION: Final = "requestid"
# The field of log lines, and its name in the context of the running thread or task.
LOG_FIELD: Final = "request_id"
_SAFE: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(sent: str = "") -> str:
    """The caller's own id if it is safe to log, else a new one."""
    return sent if _SAFE.fullmatch(sent) else _new_request_id()


def current_request_id() -> str | None:
    """The id of the HTTP request on whose behalf this thread or task works; None if unknown."""
    found: str | None = get_contextvars().get(LOG_FIELD)
    return found


def request_id_of(attributes: Mapping[str, Any]) -> str | None:
    """The id in the attributes of a CloudEvent; None if it has none, or one that is not safe."""
    found = attributes.get(EXTENSION)
    return found if isinstance(found, str) and _SAFE.fullmatch(found) else None


def _new_request_id() -> str:
    # Ids need not be unpredictable, and reading the system's random numbers costs a thread switch.
    return f"req_{random.getrandbits(128):032x}"
