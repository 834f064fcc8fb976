"""What the list's database stores about a video, and the statements that store it.

A row has what lists are filtered and sorted by. The video itself is its newest message, as NATS
has it, in a table of its own: it is parsed when it is read, so that a replay need not.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from functions.shared.streams.bus import Message
from functions.shared.video.events import EventName

# The sort key of the list, and so the cursor of a page: creation, then id.
SortKey = tuple[int, str]

SCHEMA: Final = """
CREATE TABLE videos (
    row_id      INTEGER PRIMARY KEY,  -- never used again
    account     TEXT NOT NULL,
    id          TEXT NOT NULL,
    created     INTEGER NOT NULL,  -- JetStream's timestamp, in nanoseconds
    request_seq INTEGER NOT NULL,  -- in REQUESTS; 0 if not seen
    event_seq   INTEGER NOT NULL,  -- in VIDEOS; 0 without an event
    event       TEXT NOT NULL,     -- the newest event's name
    status      TEXT,              -- as in the HTTP API; this and the rest are NULL once deleted
    metadata    TEXT,              -- JSON
    prompt      TEXT,              -- folded
    UNIQUE (account, id)
);
CREATE TABLE messages (
    row_id  INTEGER PRIMARY KEY,
    time    INTEGER NOT NULL,  -- JetStream's timestamp, in nanoseconds
    headers TEXT,              -- JSON; NULL if they say nothing about the data
    data    BLOB NOT NULL
);
CREATE TABLE metadata_pairs (
    account TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    created INTEGER NOT NULL,
    id      TEXT NOT NULL,
    row_id  INTEGER NOT NULL,
    PRIMARY KEY (account, name, value, created, id)
) WITHOUT ROWID;
"""
# Of a full table they are created in a fraction of the time that they take row by row.
INDEXES: Final = (
    "CREATE INDEX by_created ON videos (account, created, id, status) WHERE event != 'deleted'",
    "CREATE INDEX by_status ON videos (account, status, created, id) WHERE event != 'deleted'",
    "CREATE INDEX by_account ON videos (account)",
)
INSERT_VIDEO: Final = (
    "INSERT INTO videos (row_id, account, id, request_seq, event_seq,"
    " created, event, status, metadata, prompt) VALUES (?,?,?,?,?,?,?,?,?,?)"
)
UPDATE_VIDEO: Final = (
    "UPDATE videos SET request_seq = max(request_seq, ?), event_seq = max(event_seq, ?),"
    " created = ?, event = ?, status = ?, metadata = ?, prompt = ?"
    " WHERE row_id = ?"
)
SEE_REQUEST: Final = "UPDATE videos SET request_seq = max(request_seq, ?) WHERE row_id = ?"
PUT_MESSAGE: Final = "INSERT OR REPLACE INTO messages VALUES (?,?,?,?)"


class VideoRecord(NamedTuple):
    """What the table stores about a video.

    Attributes:
        created: JetStream's timestamp of the request, in nanoseconds.
        event: the newest event's name.
        status: as in the HTTP API; None for a deleted video.
        metadata: its pairs; None for a deleted video.
        prompt: the folded prompt; None for a deleted video.
    """

    created: int
    event: EventName
    status: str | None = None
    metadata: dict[str, str] | None = None
    prompt: str | None = None

    def columns(self) -> tuple[Any, ...]:
        """Values for `created`, `event`, `status`, `metadata` and `prompt`."""
        pairs = to_json(self.metadata).decode() if self.metadata else None
        return self.created, self.event.value, self.status, pairs, self.prompt


def telling_headers(message: Message) -> dict[str, str]:
    """The headers without which the data can't be read; most messages have only NATS's own."""
    return {
        name: value
        for name, value in message.headers.items()
        if name[:5] != "Nats-" and (name[:3].lower() == "ce-" or name.lower() == "content-type")
    }


def message_columns(row_id: int, message: Message) -> tuple[Any, ...]:
    """Values for `messages`."""
    headers = telling_headers(message)
    return row_id, message.time, json.dumps(headers) if headers else None, message.data
