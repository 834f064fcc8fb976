"""The webhooks that Kinora sends to an account's endpoints."""

from __future__ import annotations

from typing import Final

from functions.shared.api.openapi.operation import JSON, Json, ref

_HEADERS: Final = {
    "webhook-id": "Identifies the message; a retry has the same id.",
    "webhook-timestamp": "When this attempt was sent, in seconds since 1970.",
    "webhook-signature": "Signatures according to Standard Webhooks, separated by spaces.",
}
_GONE: Final = (
    "Not retried: this endpoint does not get this event again. It still gets later events, until "
    "it is removed from ACCOUNTS_FILE."
)
_FAILED: Final = (
    "Retried for up to three days, with the same `webhook-id`, and no sooner than `Retry-After` "
    "asks. Redirects are not followed."
)
_OVERLOADED: Final = (
    f"{_FAILED} Before that, the endpoint gets no other event for as long as `Retry-After` asks, "
    "but at least 5 s and at most a minute."
)


def _webhook(kind: str, operation: str, summary: str) -> Json:
    event = {
        "id": "8d1a6bdc-54a5-4d3b-9f0c-0f6a2a4e7c11",
        "object": "event",
        "type": kind,
        "created_at": 1795262400,
        "data": {"id": "video_0123456789abcdef0123456789abcdef"},
    }
    return {
        "post": {
            "operationId": operation,
            "tags": ["events"],
            "summary": summary,
            "description": "Sent to each endpoint of the account in ACCOUNTS_FILE.",
            "security": [],
            "parameters": [
                {
                    "name": name,
                    "in": "header",
                    "required": True,
                    "description": description,
                    "schema": {"type": "string"},
                }
                for name, description in _HEADERS.items()
            ],
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": ref("schemas", "VideoEnded"), "example": event}},
            },
            "responses": {
                "2XX": {"description": "Delivered."},
                "410": {"description": _GONE},
                **{str(status): {"description": _OVERLOADED} for status in (429, 502, 503, 504)},
                "default": {"description": _FAILED},
            },
        }
    }


WEBHOOKS: Final[Json] = {
    "video.completed": _webhook("video.completed", "receiveVideoCompleted", "A video completed"),
    "video.failed": _webhook(
        "video.failed", "receiveVideoFailed", "A video failed or was cancelled"
    ),
}
