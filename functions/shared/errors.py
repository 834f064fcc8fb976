"""Every error that crosses a module's border, in one tree.

The class says how each side of the system must react: `status` and `code` are what an HTTP caller
sees, `retryable` is what a worker does with its attempt. The first line of a class's docstring is
its default message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Longer than any message of ours; what is longer repeats somebody's input.
MAX_MESSAGE: Final = 600


class KinoraError(Exception):
    """Something went wrong inside Kinora."""

    status = 500
    type = "server_error"
    code = "internal_error"
    retryable = True
    # What RFC 9110 wants beside the status.
    headers: Mapping[str, str] = {}
    # What a caller is told who may try again and got no better advice, in seconds.
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
            message: what happened and what to do about it; the class's docstring otherwise.
            param: the field of the request that is at fault.
            code: a more precise code than the class's own.
            retry_after: seconds after which a caller may try again (the `Retry-After` header);
                the class's own otherwise.
        """
        self.message = _presentable(message or (type(self).__doc__ or "").splitlines()[0])
        self.param = None if param is None else _presentable(param)
        self.code = code or type(self).code
        self.retry_after = self.default_retry_after if retry_after is None else retry_after
        super().__init__(self.message)

    def body(self) -> dict[str, dict[str, str | None]]:
        """The error as the OpenAI API writes it."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def _presentable(text: str) -> str:
    """What was sent to us may be said back: not endlessly, and only as text that can be written."""
    short = text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "..."
    return short.encode(errors="replace").decode()


class InvalidRequest(KinoraError):
    """The request is not valid."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"
    retryable = False


class InvalidEvent(InvalidRequest):
    """The message is not a valid CloudEvent."""

    code = "invalid_cloudevent"


class Unauthorized(KinoraError):
    """Send a valid API key: 'Authorization: Bearer <key>'."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    retryable = False
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class NotFound(KinoraError):
    """There is nothing here."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"
    retryable = False


class VideoNotFound(NotFound):
    """No such video."""

    code = "video_not_found"


class ContentNotReady(NotFound):
    """The video has no content yet."""

    code = "video_not_ready"


class ContentLost(NotFound):
    """The video was completed, and the object store has lost its file since."""

    code = "content_lost"


class VideoDeleted(KinoraError):
    """The video that this idempotency key made was deleted. Use a new key for a new video."""

    status = 410
    type = "invalid_request_error"
    code = "video_deleted"
    retryable = False


class TooLarge(KinoraError):
    """The request is too large."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"
    retryable = False


class RangeNotSatisfiable(KinoraError):
    """The requested range lies outside the file."""

    status = 416
    type = "invalid_request_error"
    code = "range_not_satisfiable"
    retryable = False
    headers: Mapping[str, str] = {"Content-Range": "bytes */0"}

    def __init__(self, size: int) -> None:
        """Say how many bytes the file has, so that the caller can ask for some of them."""
        super().__init__(f"The requested range lies outside the file, which has {size} bytes")
        self.headers = {"Content-Range": f"bytes */{size}"}


class IdempotencyKeyReused(KinoraError):
    """This key, or this event's id, was used for a different request. Use a new one."""

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


class Unavailable(KinoraError):
    """The service can't do this at the moment. Try again."""

    status = 503
    code = "unavailable"
    default_retry_after = 2


class OutcomeUnknown(Unavailable):
    """No answer came: it may or may not have been done."""

    code = "outcome_unknown"


class SequenceConflict(KinoraError):
    """JetStream refused a publish: the subject has moved on, or is being moved right now."""

    status = 503
    code = "conflict"
    default_retry_after = 2


class AttemptFailed(KinoraError):
    """The attempt to make this video failed."""

    code = "generation_failed"


class EngineCrashed(AttemptFailed):
    """The engine stopped in the middle of the video."""

    code = "engine_crashed"


class OutOfMemory(AttemptFailed):
    """The video does not fit into memory. Ask for a smaller size or fewer frames."""

    code = "out_of_memory"
    retryable = False


class DeadlineExceeded(AttemptFailed):
    """The video took too long. Ask for a smaller size, fewer frames or fewer steps."""

    code = "deadline_exceeded"
    retryable = False


class RenderCancelled(AttemptFailed):
    """The video was cancelled, or another worker took it over."""

    code = "cancelled"
    retryable = False
