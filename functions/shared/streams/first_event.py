"""What the first event of a video carries, besides its own fields: what its request says."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from structlog.contextvars import bound_contextvars

from functions.shared import request_ids
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import read_nats
from functions.shared.streams.validation import StoredRequest, read_request
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import format_rfc3339
from functions.shared.video.profiles import Profile
from functions.shared.video.warnings import warnings_of

log = logging.getLogger(__name__)

# Of an invalid request's prompt, enough characters to recognise it by.
PROMPT_EXCERPT: Final = 200
# The digest's length; see `Requested.request_hash`.
HASH_CHARACTERS: Final = 64


def established_by(stored: StoredRequest) -> dict[str, Any]:
    """The fields of `VideoData` that a valid request determines."""
    return {
        "created_at": stored.created_at,
        "request": stored.request,
        "request_hash": stored.request_hash,
        "warnings": warnings_of(stored.request),
    }


def known_of(message: Message, profile: Profile) -> dict[str, Any]:
    """The fields of `VideoData` that a message of REQUESTS determines, valid or not; never raises.

    Of an invalid request, the digest is kept, so that its idempotency key still finds the video.
    """
    try:
        return established_by(read_request(message, profile))
    except InvalidRequest:
        pass
    except Exception:  # the event that ends the video must not fail as the request did
        log.exception("%s can't be read", message.subject)
    return {
        "created_at": format_rfc3339(message.time),
        "request_hash": _text_of(message, "request_hash", HASH_CHARACTERS),
    }


def prompt_excerpt(message: Message) -> str | None:
    """The start of an invalid request's prompt, if it has one."""
    return _text_of(message, "prompt", PROMPT_EXCERPT)


@contextlib.contextmanager
def working_for(message: Message) -> Iterator[None]:
    """Log, and publish, on behalf of the request in a message of REQUESTS, valid or not.

    An id that is bound already stays: `dispatch` gives one to requests that have none.
    """
    fields = asdict(VideoKey.from_subject(message.subject))
    found = request_ids.current_request_id()
    if found is None:
        with contextlib.suppress(InvalidRequest):
            attributes = read_nats(message.headers, message.data).attributes
            found = request_ids.request_id_of(attributes)
    if found is not None:
        fields[request_ids.LOG_FIELD] = found
    with bound_contextvars(**fields):
        yield


def _text_of(message: Message, field: str, characters: int) -> str | None:
    try:
        text = read_nats(message.headers, message.data).data[field]
    except (InvalidRequest, KeyError, TypeError):
        return None
    if not isinstance(text, str):
        return None
    # A lone surrogate may be what is invalid about it, and can't be encoded.
    return text[:characters].encode(errors="replace").decode()
