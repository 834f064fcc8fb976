"""One webhook: its body, its id and its signature."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from standardwebhooks import Webhook as Signer

from functions.shared.accounts.endpoints import Endpoint
from functions.shared.api.response_bodies import VideoEnded
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.video_state import snapshot_of
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.events import Completed


@dataclass(frozen=True)
class Webhook:
    """The notification of one endpoint about one event: the same in every attempt.

    Attributes:
        video_id: which video.
        id: the header `webhook-id`, by which a receiver recognises a retry.
        type: `video.completed` or `video.failed`.
        body: the exact bytes that are signed and sent.
    """

    video_id: str
    id: str
    type: str
    body: bytes

    @classmethod
    def of(cls, message: Message, endpoint: Endpoint) -> Self:
        """Build the webhook for a terminal event, with the content of OpenAI's own webhooks.

        Raises:
            InvalidRequest: the message is no terminal event, or `deleted`.
        """
        key = VideoKey.from_subject(message.subject)
        snapshot = snapshot_of(key, message)
        if not snapshot.terminal or snapshot.deleted:
            raise InvalidRequest(f"{message.subject} holds no event to notify endpoints of")
        # As in the HTTP API, cancelled and unreadable videos count as failed.
        completed = isinstance(snapshot.data, Completed)
        event_id = snapshot.event_id or f"{key.video_id}-{message.seq}"
        kind: Final = "video.completed" if completed else "video.failed"
        document: VideoEnded = {
            "id": event_id,
            "object": "event",
            "type": kind,
            "created_at": message.time // NANOSECONDS,
            "data": {"id": key.video_id},
        }
        identity = f"{endpoint.account} {endpoint.url} {event_id}"
        # Hashed: the id may contain no full stop, which separates the parts that are signed.
        webhook_id = f"msg_{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
        body = json.dumps(document, separators=(",", ":")).encode()
        return cls(key.video_id, webhook_id, kind, body)

    def headers(self, endpoint: Endpoint, now: float) -> dict[str, str]:
        """The headers of an attempt at `now`, in seconds since the epoch, signed with each secret.

        As in Standard Webhooks 1.0.0; several signatures are separated by spaces.
        """
        time = datetime.fromtimestamp(int(now), UTC)
        text = self.body.decode()
        signatures = [Signer(secret).sign(self.id, time, text) for secret in endpoint.secrets]
        return {
            "content-type": "application/json",
            "user-agent": "Kinora",
            "webhook-id": self.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": " ".join(signatures),
        }
