"""NATS subjects: converts accounts and video ids to subjects, and back.

JetStream accepts a literal `kinora.requests.a.*` as a subject, and an id `*` in a filter would
read, or purge, every video of the account. So every token is validated where a subject is built.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from functions.shared.errors import InvalidRequest, excerpt

log = logging.getLogger(__name__)

REQUESTS: Final = "REQUESTS"
VIDEOS: Final = "VIDEOS"
TURNS: Final = "TURNS"
QUEUE: Final = "QUEUE"
ALL_REQUESTS: Final = "kinora.requests.*.*"
ALL_VIDEOS: Final = "kinora.videos.*.*.*"
ALL_TURNS: Final = "kinora.turns.*.*"
QUEUE_SUBJECT: Final = "kinora.queue"

MAX_TOKEN: Final = 64
TOKEN: Final = f"[A-Za-z0-9_-]{{1,{MAX_TOKEN}}}"
_TOKEN: Final = re.compile(TOKEN)


def is_token(text: str) -> bool:
    """Whether `text` is valid as an account or a video id."""
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True)
class VideoKey:
    """Identifies a video: its account and its id, both valid tokens of a subject.

    Raises:
        InvalidRequest: the account or the id is not 1 to 64 letters, digits, `_` or `-`.
    """

    account: str
    video_id: str

    def __post_init__(self) -> None:
        for name, token in (("account", self.account), ("id", self.video_id)):
            if not is_token(token):
                raise InvalidRequest(
                    f"{name} {excerpt(token)!r} must be 1 to 64 letters, digits, '_' or '-'",
                    param=name,
                )

    @property
    def request_subject(self) -> str:
        """The subject that the request for this video is published to."""
        return f"kinora.requests.{self.account}.{self.video_id}"

    @property
    def turn_subject(self) -> str:
        """The subject of this video's turn."""
        return f"kinora.turns.{self.account}.{self.video_id}"

    @property
    def events_filter(self) -> str:
        """The filter that matches all events of this video."""
        return f"kinora.videos.{self.account}.{self.video_id}.*"

    def event_subject(self, name: str) -> str:
        """The subject of the event `name` ('started', ...) of this video."""
        if not is_token(name):
            raise InvalidRequest(f"{excerpt(name)!r} is not an event", param="type")
        return f"kinora.videos.{self.account}.{self.video_id}.{name}"

    @property
    def object_prefix(self) -> str:
        """The prefix of the keys of all of this video's objects in the store."""
        return f"{self.account}/{self.video_id}/"

    @classmethod
    def from_subject(cls, subject: str) -> Self:
        """Read the key from a subject of REQUESTS, VIDEOS or TURNS.

        Raises:
            InvalidRequest: the subject has none of their forms, or a token is invalid.
        """
        tokens = subject.split(".")
        lengths = {"requests": 4, "turns": 4, "videos": 5}
        if tokens[0] != "kinora" or len(tokens) != lengths.get(tokens[1] if tokens[1:] else "", 0):
            raise InvalidRequest(f"{subject[:200]!r} is not a subject of Kinora", param="subject")
        return cls(tokens[2], tokens[3])


def subject_filters(account: str, video_id: str | None) -> tuple[str, str]:
    """Filters for the requests and for the events of an account, or of one of its videos.

    Raises:
        InvalidRequest: the account or the id is invalid.
    """
    checked = VideoKey(account, "any" if video_id is None else video_id)
    token = "*" if video_id is None else checked.video_id
    return f"kinora.requests.{account}.{token}", f"kinora.videos.{account}.{token}.*"


def names_by_video(subjects: Iterable[str]) -> dict[VideoKey, set[str]]:
    """The last tokens of the subjects of each video: of its events, their names."""
    found: dict[VideoKey, set[str]] = defaultdict(set)
    for subject in subjects:
        try:
            found[VideoKey.from_subject(subject)].add(subject.rpartition(".")[2])
        except InvalidRequest:
            log.debug("no video's subject: %s", subject)
    return found


def stream_of(subject: str) -> str:
    """The stream that stores what is published on `subject`, one of Kinora's."""
    return subject.split(".", 2)[1].upper()
