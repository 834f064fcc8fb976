"""The ids of new videos."""

from __future__ import annotations

import hashlib
import uuid


def new_video_id() -> str:
    """A random id."""
    return f"video_{uuid.uuid4().hex}"


def derived_video_id(account: str, *parts: str) -> str:
    """An id that is always the same for the same account and parts."""
    digest = hashlib.sha256("\0".join((account, *parts)).encode()).hexdigest()
    return f"video_{digest[:32]}"
