"""The errors that HTTP callers and failed videos report, in one tree.

The class decides how each part of the system reacts: HTTP callers get its `status` and `code`, and
a worker retries the attempt if it is `retryable`. The first line of a class's docstring is its
default message, which callers read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Messages are cut to this many characters; only input echoed from a caller can exceed it.
MAX_MESSAGE: Final = 600
# Characters of a caller's value that an error quotes.
MAX_EXCERPT: Final = 80


class KinoraError(Exception):
    """An internal error occurred."""

    status = 500
    type = "server_error"
    code = "internal_error"
    retryable = True
    # Headers that RFC 9110 requires with the status.
    headers: Mapping[str, str] = {}
    # Default Retry-After, in seconds.
    default_retry_after: int | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Describe the failure.

        Args:
            message: what happened, and the remedy. Default: the class's docstring.
            param: the field, parameter, header or attribute at fault.
            code: a more specific code than the class's.
            retry_after: seconds for the `Retry-After` header. Default: the class's.
        """
        self.message = _presentable(message or (type(self).__doc__ or "").splitlines()[0])
        self.param = None if param is None else _presentable(param)
        self.code = code or type(self).code
        self.retry_after = self.default_retry_after if retry_after is None else retry_after
        super().__init__(self.message)

    def body(self) -> dict[str, dict[str, str | None]]:
        """The error in the form of the OpenAI API."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def excerpt(text: str) -> str:
    """The start of a value that a caller sent, for an error message."""
    return text[:MAX_EXCERPT]


def _presentable(text: str) -> str:
    """Limit and encode text that may repeat a caller's input."""
    short = text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "..."
    return short.encode(errors="replace").decode()


class InvalidRequest(KinoraError):
    """The request is not valid."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"
    retryable = False


class SearchTooBroad(InvalidRequest):
    """The search takes too long. Add a created_after, a status, or a longer text."""

    code = "search_too_broad"


class TextOnly(InvalidRequest):
    """This model makes videos from text only. Describe what the video should show in a prompt."""

    code = "unsupported_parameter"


class InvalidEvent(InvalidRequest):
    """This is not a valid CloudEvent."""

    code = "invalid_cloudevent"


class Unauthorized(KinoraError):
    """An API key is required. Send it as 'Authorization: Bearer <key>'."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    retryable = False
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class CrossOrigin(KinoraError):
    """A page of another origin may not change anything here. Add its origin to CORS_ORIGINS."""

    status = 403
    type = "invalid_request_error"
    code = "cross_origin_refused"
    retryable = False


class NotFound(KinoraError):
    """Not found."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"
    retryable = False


class VideoNotFound(NotFound):
    """No such video."""

    code = "video_not_found"


class ModelNotFound(NotFound):
    """No such model. `GET /v1/models` lists the deployed one."""

    code = "model_not_found"


class ContentNotReady(NotFound):
    """The video is not completed, so there is nothing to download."""

    code = "video_not_ready"


class NoPreview(ContentNotReady):
    """The video has no preview yet. The first comes after a fifth of its steps, at the earliest."""

    code = "no_preview"


class ContentLost(NotFound):
    """The object store has lost this file. Delete the video and create it again."""

    code = "content_lost"


class VideoDeleted(KinoraError):
    """The video of this idempotency key or event was deleted. Use a new key to create one."""

    status = 410
    type = "invalid_request_error"
    code = "video_deleted"
    retryable = False


class PreconditionFailed(KinoraError):
    """The file is not the one that If-Match names. Request it without If-Match."""

    status = 412
    type = "invalid_request_error"
    code = "precondition_failed"
    retryable = False


class TooLarge(KinoraError):
    """The request is too large. Send a smaller one."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"
    retryable = False


class RangeNotSatisfiable(KinoraError):
    """The requested range is outside the file."""

    status = 416
    type = "invalid_request_error"
    code = "range_not_satisfiable"
    retryable = False
    headers: Mapping[str, str] = {"Content-Range": "bytes */0"}

    def __init__(self, size: int) -> None:
        """Report the size of the file in bytes, so that the caller can request a valid range."""
        super().__init__(f"The requested range is outside the file, which has {size} bytes")
        self.headers = {"Content-Range": f"bytes */{size}"}


class UnknownHost(KinoraError):
    """This server does not answer to the name in the request. Add it to ALLOWED_HOSTS."""

    status = 421
    type = "invalid_request_error"
    code = "unknown_host"
    retryable = False


class IdempotencyKeyReused(KinoraError):
    """This idempotency key or event id was used for a different request. Use a new one."""

    status = 422
    type = "invalid_request_error"
    code = "idempotency_key_reused"
    retryable = False


class QueueFull(KinoraError):
    """The queue is full. Try again later."""

    status = 429
    type = "rate_limit_error"
    code = "queue_full"
    default_retry_after = 60


class RateLimited(KinoraError):
    """Your account sends too many requests a second. Send fewer of them."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    default_retry_after = 1


class TooManyStreams(KinoraError):
    """Your account has too many open event streams. Close one, then try again."""

    status = 429
    type = "rate_limit_error"
    code = "too_many_streams"
    default_retry_after = 10


class Unavailable(KinoraError):
    """The service is temporarily unavailable. Try again."""

    status = 503
    code = "unavailable"
    default_retry_after = 2


class NoAnswer(Unavailable):
    """NATS does not answer. Try again."""


class OutcomeUnknown(Unavailable):
    """The outcome of this request is unknown: it may have succeeded. Try again."""

    code = "outcome_unknown"


class NotStored(Unavailable):
    """NATS has stopped storing messages, so nothing was done. Try again later."""

    code = "not_stored"
    default_retry_after = 10


class SequenceConflict(KinoraError):
    """The video changed at the same time. Try again.

    JetStream refused a publish: its subject has a newer message, or another publish is in flight.
    """

    status = 503
    code = "conflict"
    default_retry_after = 2


class AttemptFailed(KinoraError):
    """The attempt to render this video failed."""

    code = "generation_failed"


class EngineCrashed(AttemptFailed):
    """The engine crashed while it rendered this video."""

    code = "engine_crashed"


class NotFinite(AttemptFailed):
    """The video could not be computed: values became infinite or undefined. Try again."""

    code = "not_finite"


class OutOfMemory(AttemptFailed):
    """The video does not fit into memory. Ask for a smaller size or fewer frames."""

    code = "out_of_memory"
    retryable = False


class DeadlineExceeded(AttemptFailed):
    """The video took too long to render. Ask for a smaller size, fewer frames or fewer steps."""

    code = "deadline_exceeded"
    retryable = False


class RenderCancelled(AttemptFailed):
    """The video was cancelled or deleted, or another worker took it over."""

    code = "cancelled"
    retryable = False
