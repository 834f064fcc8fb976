"""What requests ask for, and how long that is expected to take."""

from __future__ import annotations

from dataclasses import dataclass

from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.validation import read_request
from functions.shared.streams.video_state import snapshot_of
from functions.shared.subjects import VideoKey
from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.costs import CostModel, Work
from functions.shared.video.events import Completed
from functions.shared.video.fairness import RANKS, UNKNOWN_SECONDS
from functions.shared.video.profiles import Profile


@dataclass(frozen=True)
class Unsettled:
    """A request whose video has not ended.

    Attributes:
        seq: its sequence in REQUESTS.
        rank: see `Waiting.rank`, but for one that had a turn.
        work: what determines its cost; None for an invalid one.
    """

    seq: int
    rank: int
    work: Work | None


class RequestCosts:
    """Reads requests, and learns from completed videos. Not thread-safe."""

    def __init__(self, profile: Profile) -> None:
        """Know nothing; requests are read with the defaults of `profile`."""
        self._profile = profile
        self._costs = CostModel()

    def read(self, message: Message) -> Unsettled:
        """The request in a message of REQUESTS, valid or not."""
        try:
            request = read_request(message, self._profile).request
        except InvalidRequest:
            # `dispatch` fails it at its turn, with the reason.
            return Unsettled(message.seq, RANKS["normal"], None)
        return Unsettled(message.seq, RANKS[request.priority], Work.of(request))

    def seconds(self, request: Unsettled | None) -> float:
        """How long its video is expected to hold a replica; 0 if it will hold none."""
        if request is None or request.work is None:
            return 0.0
        expected = self._costs.expected_seconds(request.work)
        return UNKNOWN_SECONDS if expected is None else sum(expected.values())

    def learn(self, message: Message) -> None:
        """Learn from an event `completed`."""
        snapshot = snapshot_of(VideoKey.from_subject(message.subject), message)
        data = snapshot.data
        if not isinstance(data, Completed) or data.request is None:
            return
        total = None
        # `started_at` is that of the first attempt, which must be the only one.
        if data.attempt == 1 and data.started_at is not None:
            total = (snapshot.time - parse_rfc3339(data.started_at)) / NANOSECONDS
        self._costs.add_sample(Work.of(data.request), data.timings, total)
