"""Recognises a request that is sent again, however it is encoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from functions.shared.video.requests import WITHOUT_EFFECT, VideoRequest


def hash_request(
    request: VideoRequest, num_frames: int | None, *, kept: Collection[str] = ()
) -> str:
    """A digest of a valid request before defaults: equal requests have equal ones.

    `num_frames` is what the request resolves to; only a request with `seconds` needs it.

    Equal are the same number as text and as a number, `size` and its two sides, `seconds` and the
    `num_frames` that it resolves to, and an empty text or object and none; except for the fields
    `kept`, where empty means something else than absent.
    """
    given = {
        name: value
        for name, value in request.model_dump(exclude={"request_hash", *WITHOUT_EFFECT}).items()
        if value not in (None, "", {}) or (name in kept and value is not None)
    }
    if request.size is not None:
        del given["size"]
        given["width"], given["height"] = map(int, request.size.split("x"))
    if request.seconds is not None:
        del given["seconds"]
        given["num_frames"] = num_frames
    canonical = json.dumps(given, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
