"""What Kinora sends to an account's own endpoints."""

from __future__ import annotations

from typing import Final

from functions.shared.api.openapi.operation import Json, ref

_HEADERS: Final = {
    "webhook-id": "Names the message; a repetition has the same.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "Signatures after Standard Webhooks, separated by spaces.",
}


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
            "description": "To each endpoint of the account in WEBHOOKS_FILE.",
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
                "content": {
                    "application/json": {
                        "schema": ref("schemas", "VideoEnded"),
                        "example": event,
                    }
                },
            },
            "responses": {
                "2XX": {"description": "Heard."},
                "410": {"description": "Never again to this endpoint."},
                "default": {"description": "Tried again, for three days."},
            },
        }
    }


WEBHOOKS: Final[Json] = {
    "video.completed": _webhook("video.completed", "receiveVideoCompleted", "A video is completed"),
    "video.failed": _webhook(
        "video.failed", "receiveVideoFailed", "A video has failed, or was cancelled"
    ),
}
