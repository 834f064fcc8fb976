"""The messages of the streams in memory: the part of `MemoryBus` that stores them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from functions.shared.streams.bus import Message
from functions.shared.subjects import QUEUE, REQUESTS, TURNS, VIDEOS

STREAMS = (REQUESTS, VIDEOS, TURNS, QUEUE)


class MemoryStreams:
    """The newest message of each subject. Not thread-safe."""

    def __init__(self) -> None:
        """Start with empty streams."""
        self.clear()

    def clear(self) -> None:
        """Recreate all streams, empty and with sequences from 1."""
        self.last_seq = dict.fromkeys(STREAMS, 0)
        self._messages: dict[str, dict[str, Message]] = {stream: {} for stream in STREAMS}
        self._stale: dict[str, dict[str, Message]] | None = None

    def freeze_replica(self) -> None:
        """From now on the replica, which is not the leader, has the messages of this moment."""
        self._stale = {stream: dict(messages) for stream, messages in self._messages.items()}

    def _known(self, *, leader: bool) -> dict[str, dict[str, Message]]:
        return self._messages if leader or self._stale is None else self._stale

    def store(
        self, stream: str, subject: str, time: int, payload: bytes, headers: Mapping[str, str]
    ) -> Message:
        """Append a message."""
        self.last_seq[stream] += 1
        message = Message(subject, self.last_seq[stream], time, payload, dict(headers))
        self._messages[stream][subject] = message
        return message

    def last(self, stream: str, pattern: str, *, leader: bool = True) -> Message | None:
        """The last message that matches, as the leader or the replica has it."""
        known = self._known(leader=leader)
        found = [m for m in known[stream].values() if matches(m.subject, pattern)]
        return max(found, key=lambda message: message.seq, default=None)

    def at(self, stream: str, seq: int) -> Message | None:
        """The message with this sequence."""
        return next((m for m in self._messages[stream].values() if m.seq == seq), None)

    def after(self, stream: str, seq: int, pattern: str, *, leader: bool = True) -> list[Message]:
        """The messages after `seq` that match, in stream order."""
        known = self._known(leader=leader)
        found = [m for m in known[stream].values() if matches(m.subject, pattern)]
        return sorted((m for m in found if m.seq > seq), key=lambda message: message.seq)

    def purge(self, stream: str, pattern: str, below: int | None) -> None:
        """Remove the messages that match, or those of them with a sequence lower than `below`."""
        for message in list(self._messages[stream].values()):
            if matches(message.subject, pattern) and (below is None or message.seq < below):
                del self._messages[stream][message.subject]

    def subjects(self, stream: str, pattern: str) -> list[str]:
        """The subjects that match and have a message."""
        return [subject for subject in self._messages[stream] if matches(subject, pattern)]

    def turns(self) -> set[int]:
        """The sequences of all turns."""
        return {message.seq for message in self._messages[TURNS].values()}


def matches(subject: str, pattern: str) -> bool:
    """Whether a subject matches a filter with `*` wildcards."""
    tokens, patterns = subject.split("."), pattern.split(".")
    return len(tokens) == len(patterns) and all(map(fnmatchcase, tokens, patterns))
