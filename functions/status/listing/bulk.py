"""Builds a table from a replay of both streams: first VIDEOS, then REQUESTS.

Nobody reads meanwhile, so batches of messages are written without a journal, and whatever can be
computed of a full table in one go is computed at the end. Not thread-safe.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message, StreamEnd
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_state import snapshot_of
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.shared.video.profiles import Profile
from functions.status.listing.database import Database
from functions.status.listing.prompt_index import PROMPTS_SCHEMA, PromptIndex
from functions.status.listing.records import (
    ended,
    event_record,
    request_record,
    split_subject,
)
from functions.status.listing.schema import (
    INDEXES,
    INSERT_VIDEO,
    PUT_MESSAGE,
    SCHEMA,
    SEE_REQUEST,
    UPDATE_VIDEO,
    VideoRecord,
    message_columns,
)
from functions.status.listing.table import VideoTable
from functions.status.usage import UsageByDay

log = logging.getLogger(__name__)

# Messages of a batch: enough that most of a video's events are in one, so that only the newest is
# read; few enough that the thread which receives them pauses for less than half a second.
BATCH_MESSAGES: Final = 10_000
BATCH_BYTES: Final = 16 << 20
# While rows are written in the order of the stream, and found by random ids.
CACHE_BYTES: Final = 64 << 20

# As JSON writes it.
_NUL: Final = "\\u0000"

# By account, then by id: the messages of VIDEOS with their names, in order; those of REQUESTS.
_Events = dict[str, dict[str, list[tuple[str, Message]]]]
_Requests = dict[str, dict[str, Message]]


class _Found(NamedTuple):
    """A message that tells a video's state; `row_id` is 0 of a video that the table lacks."""

    row_id: int
    video_id: str
    request_seq: int
    event_seq: int
    message: Message
    record: VideoRecord


class BulkLoad:
    """Takes messages in the order of their streams, and makes a `VideoTable` of them."""

    def __init__(self, profile: Profile, usage: UsageByDay, *, max_age_days: int) -> None:
        """Start with an empty table, and count in `usage`; see `VideoIndex` for the others."""
        self._profile = profile
        self._usage = usage
        self._max_age_days = max_age_days
        self._database = Database()
        self._db = self._database.writer
        self._database.begin_bulk(CACHE_BYTES)
        self._db.executescript(SCHEMA + PROMPTS_SCHEMA)
        self._last_row = 0
        self._bytes = 0
        self._waiting: list[Message] = []

    def add(self, message: Message) -> bool:
        """Take a message of either stream; returns whether it is time to call `write`."""
        self._waiting.append(message)
        self._bytes += len(message.data)
        return len(self._waiting) >= BATCH_MESSAGES or self._bytes >= BATCH_BYTES

    def take(self) -> list[Message]:
        """The messages that are not written yet; they are left to the caller."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return waiting

    def write(self, messages: list[Message]) -> None:
        """Write messages to the table."""
        events: _Events = {}
        requests: _Requests = {}
        for message in messages:
            found = split_subject(message.subject)
            if found is None:
                log.warning("ignored a message on %s", message.subject[:200])
                continue
            account, video_id, name = found
            if name:
                videos = events.setdefault(account, {})
                videos.setdefault(video_id, []).append((name, message))
            else:
                requests.setdefault(account, {})[video_id] = message
        with self._transaction():
            for account, videos in events.items():
                self._write_events(account, videos)
            for account, messages_by_id in requests.items():
                self._write_requests(account, messages_by_id)

    def videos_requested(self, end: StreamEnd) -> int:
        """How many videos, that were not deleted, have a request in a stream with this `end`.

        Those that the table has: if it lacks none, as many as the stream has messages.
        """
        (count,) = self._db.execute(
            "SELECT count(*) FROM videos WHERE event != 'deleted'"
            " AND created BETWEEN ? AND ? AND request_seq <= ?",
            (end.oldest, end.time, end.seq),
        ).fetchone()
        return int(count)

    def build(self) -> VideoTable:
        """The table of all messages that were written, which readers may read."""
        with self._transaction():
            self._build_pairs()
            for statement in INDEXES:
                self._db.execute(statement)
            PromptIndex(self._db).build()
        self._database.admit_readers()
        return VideoTable(self._database, self._last_row)

    def _write_events(self, account: str, videos: dict[str, list[tuple[str, Message]]]) -> None:
        known = self._known(account, videos)
        found = []
        for video_id, messages in videos.items():
            row_id, _, event_seq = known.get(video_id, (0, 0, 0))
            # An event that changes nothing leaves what earlier ones told.
            for n, (name, message) in reversed([*enumerate(messages)]):
                if message.seq <= event_seq:
                    break
                record = self._read_event(account, video_id, name, message)
                if record is not None:
                    found.append(_Found(row_id, video_id, 0, message.seq, message, record))
                    self._count(account, video_id, messages[:n])
                    break
        self._put(account, found)

    def _write_requests(self, account: str, messages: dict[str, Message]) -> None:
        known = self._known(account, messages)
        found = []
        for video_id, message in messages.items():
            row_id, request_seq, event_seq = known.get(video_id, (0, 0, 0))
            # An event has all that its request has, which is not even parsed.
            if event_seq:
                self._db.execute(SEE_REQUEST, (message.seq, row_id))
            if event_seq or message.seq <= request_seq:
                continue
            request = None
            with contextlib.suppress(InvalidRequest):
                request = read_request(message, self._profile).request
            record, _ = request_record(
                video_id, message.time, request, max_age_days=self._max_age_days
            )
            found.append(_Found(row_id, video_id, message.seq, 0, message, record))
        self._put(account, found)

    def _known(self, account: str, ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        """The `row_id` and the sequences of those that the table has."""
        rows = self._db.execute(
            "SELECT v.id, v.row_id, v.request_seq, v.event_seq FROM json_each(?) AS asked"
            " CROSS JOIN videos AS v ON v.account = ? AND v.id = asked.value",
            (json.dumps([*ids]), account),
        )
        return {video_id: (row_id, request, event) for video_id, row_id, request, event in rows}

    def _read_event(
        self, account: str, video_id: str, name: str, message: Message
    ) -> VideoRecord | None:
        end = ended(name, message)
        if end is None:
            snapshot = snapshot_of(VideoKey(account, video_id), message)
            self._usage.apply(snapshot)
            found = event_record(snapshot, max_age_days=self._max_age_days)
            return None if found is None else found[0]
        if end.bytes is not None:
            self._usage.add(account, video_id, message.time, end.gpu_seconds, end.bytes)
        return end.record

    def _count(self, account: str, video_id: str, earlier: list[tuple[str, Message]]) -> None:
        """Count what a video used that was deleted: tombstones of older versions do not tell."""
        for name, message in earlier:
            if name == EventName.COMPLETED:
                self._usage.apply(snapshot_of(VideoKey(account, video_id), message))

    def _put(self, account: str, found: list[_Found]) -> None:
        inserted, messages = [], []
        for row_id, video_id, request_seq, event_seq, message, record in found:
            at = row_id
            if row_id:
                values = (request_seq, event_seq, *record.columns(), row_id)
                self._db.execute(UPDATE_VIDEO, values)
            else:
                self._last_row = at = self._last_row + 1
                inserted.append((at, account, video_id, request_seq, event_seq, *record.columns()))
            messages.append(message_columns(at, message))
        self._db.executemany(INSERT_VIDEO, inserted)
        self._db.executemany(PUT_MESSAGE, messages)

    def _build_pairs(self) -> None:
        # In the order of the key, which is a third of the work; SQLite's JSON ends a text at a NUL.
        self._db.execute(
            "INSERT INTO metadata_pairs"
            " SELECT account, pair.key, pair.value, created, videos.id, row_id"
            " FROM videos CROSS JOIN json_each(videos.metadata) AS pair"
            " WHERE instr(metadata, ?) = 0 ORDER BY 1, 2, 3, 4, 5",
            (_NUL,),
        )
        rows = self._db.execute(
            "SELECT account, id, created, row_id, metadata FROM videos"
            " WHERE instr(metadata, ?) > 0",
            (_NUL,),
        )
        for account, video_id, created, row_id, metadata in rows.fetchall():
            for name, value in json.loads(metadata).items():
                values = (account, name, value, created, video_id, row_id)
                self._db.execute("INSERT INTO metadata_pairs VALUES (?,?,?,?,?,?)", values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        yield
        self._db.execute("COMMIT")
