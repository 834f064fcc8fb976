"""One webhook: what it says, and how it is signed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from standardwebhooks import Webhook as Signer

from functions.shared.api.response_bodies import VideoEnded
from functions.shared.endpoints import Endpoint
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import snapshot_of
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.events import Completed


@dataclass(frozen=True)
class Webhook:
    """What every attempt to tell one endpoint of one event has in common.

    Attributes:
        id: the header `webhook-id`, by which a receiver knows a repetition.
        body: the exact bytes that are signed and sent.
    """

    video_id: str
    id: str
    type: str
    body: bytes

    @classmethod
    def of(cls, message: Message, endpoint: Endpoint) -> Self:
        """Say what OpenAI's webhooks say of a video's end: its id, and whether it was completed.

        Raises:
            InvalidRequest: the message is about no end of a video.
        """
        key = VideoKey.from_subject(message.subject)
        snapshot = snapshot_of(key, message)
        if not snapshot.terminal or snapshot.deleted:
            raise InvalidRequest(f"{message.subject} is no end of a video")
        # As the HTTP API has it: cancelled, and not readable, are failed too.
        done = isinstance(snapshot.data, Completed)
        event_id = snapshot.event_id or f"{key.video_id}-{message.seq}"
        kind: Final = "video.completed" if done else "video.failed"
        document: VideoEnded = {
            "id": event_id,
            "object": "event",
            "type": kind,
            "created_at": message.time // NANOSECONDS,
            "data": {"id": key.video_id},
        }
        named = f"{endpoint.account} {endpoint.url} {event_id}"
        # Without a full stop, which separates what is signed.
        name = f"msg_{hashlib.sha256(named.encode()).hexdigest()[:32]}"
        return cls(key.video_id, name, kind, json.dumps(document, separators=(",", ":")).encode())

    def headers(self, endpoint: Endpoint, now: float) -> dict[str, str]:
        """The headers of an attempt at `now`, in seconds since the epoch, signed with each secret.

        After Standard Webhooks 1.0.0: several signatures are separated by spaces.
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
