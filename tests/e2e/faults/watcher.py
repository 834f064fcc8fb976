"""A client that watches the event stream and resumes after every interruption."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping

import requests

from tests.e2e.faults.history import FINAL, History
from tests.patience import scaled, wait_until

# Longer than the interval of the keep-alives in an idle event stream.
SILENCE_SECONDS = 25
RETRY_SECONDS = 0.3


class Watcher(threading.Thread):
    """Watches all videos of one account, on its own thread."""

    def __init__(self, url: str, account: str, key: str) -> None:
        """Watch at `url`, which may belong to a proxy that fails."""
        super().__init__(name=f"watcher of {account}", daemon=True)
        self.account = account
        self.resumed = 0
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._last_id: str | None = None
        self._first_seq = 0
        self._received: set[tuple[str, str]] = set()
        self._violations: list[str] = []
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start watching, and return once the stream is open: all later events are expected."""
        super().start()
        wait_until(lambda: self._last_id, seconds=30, what=f"{self.name} is connected")

    def run(self) -> None:
        """Watch until `finish`."""
        while not self._stopping.is_set():
            try:
                self._watch()
            except (requests.RequestException, OSError):
                self._stopping.wait(RETRY_SECONDS)

    def _watch(self) -> None:
        resume = {} if self._last_id is None else {"last-event-id": self._last_id}
        with requests.get(
            f"{self._url}/v1/events",
            headers=self._headers | resume,
            stream=True,
            timeout=(scaled(3), scaled(SILENCE_SECONDS)),
        ) as answer:
            answer.raise_for_status()
            self.resumed += bool(resume)
            for fields in _messages(answer.iter_lines(chunk_size=1, decode_unicode=True)):
                self._handle(fields)
                if self._stopping.is_set():
                    return

    def _handle(self, fields: Mapping[str, str]) -> None:
        if self._last_id is None:
            self._first_seq = int(fields["id"].partition("-")[2])
        self._last_id = fields["id"]
        if fields.get("event") == "reset":
            self._violations.append(f"the event stream of {self.account} was reset")
        elif "data" in fields:
            event = json.loads(fields["data"])
            if event["account"] != self.account:
                self._violations.append(f"{self.account} received an event of {event['account']}")
            self._received.add((event["subject"], event["type"].split(".")[3]))

    def finish(
        self, videos: Iterable[History], *, seconds: float = 2 * SILENCE_SECONDS
    ) -> list[str]:
        """Wait until every final state was received; return the violations."""
        expected = {
            (history.key[1], history.state)
            for history in videos
            if history.key[0] == self.account
            and history.state in FINAL
            and history.final is not None
            and history.final.seq > self._first_seq
        }
        try:
            wait_until(
                lambda: expected <= self._received,
                seconds=seconds,
                what="all final states are received",
            )
        except AssertionError:
            missing = sorted(expected - self._received)
            self._violations += [
                f"{self.account} never received that {v} is {s}" for v, s in missing
            ]
        self._stopping.set()
        return self._violations


def _messages(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The fields of each message (HTML standard, section 9.2.6) that has an id.

    The first has only an id: the position where the connection starts.
    """
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if value.startswith("position "):  # of a comment, whose name is empty
            yield {"id": value.removeprefix("position ")}
        elif name:
            fields[name] = value
        elif "id" in fields:
            yield fields
            fields = {}
