"""A client that watches the event stream, loses it again and again, and resumes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping

import requests

from tests.e2e.faults.histories import FINAL, History
from tests.patience import scaled, wait_until

# Longer than the pause between two signs of life of a feed in which nothing happens.
SILENCE_SECONDS = 25
RETRY_SECONDS = 0.3


class Watcher(threading.Thread):
    """Watches all videos of one account from its start on, on a thread of its own."""

    def __init__(self, url: str, account: str, key: str) -> None:
        """Ask `url`, which may be that of a proxy that breaks."""
        super().__init__(name=f"watcher of {account}", daemon=True)
        self.account = account
        self.resumed = 0
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._place: str | None = None
        self._began = 0
        self._heard: set[tuple[str, str]] = set()
        self._strange: list[str] = []
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin, and return when the feed is open: from then on everything counts."""
        super().start()
        wait_until(lambda: self._place, seconds=30, what=f"{self.name} is connected")

    def run(self) -> None:
        """Watch until `finish`."""
        while not self._stopping.is_set():
            try:
                self._watch()
            except (requests.RequestException, OSError):
                self._stopping.wait(RETRY_SECONDS)

    def _watch(self) -> None:
        resume = {} if self._place is None else {"last-event-id": self._place}
        with requests.get(
            f"{self._url}/v1/events",
            headers=self._headers | resume,
            stream=True,
            timeout=(scaled(3), scaled(SILENCE_SECONDS)),
        ) as answer:
            answer.raise_for_status()
            self.resumed += bool(resume)
            for fields in _messages(answer.iter_lines(chunk_size=1, decode_unicode=True)):
                self._take(fields)
                if self._stopping.is_set():
                    return

    def _take(self, fields: Mapping[str, str]) -> None:
        if self._place is None:
            self._began = int(fields["id"].partition("-")[2])
        self._place = fields["id"]
        if fields.get("event") == "reset":
            self._strange.append(f"the feed of {self.account} was begun anew")
        elif "data" in fields:
            event = json.loads(fields["data"])
            if event["account"] != self.account:
                self._strange.append(f"{self.account} heard of {event['account']}")
            self._heard.add((event["subject"], event["type"].split(".")[3]))

    def finish(
        self, videos: Iterable[History], *, seconds: float = 2 * SILENCE_SECONDS
    ) -> list[str]:
        """Wait until every final state was heard, and say what was not, or was odd."""
        expected = {
            (history.key[1], history.state)
            for history in videos
            if history.key[0] == self.account
            and history.state in FINAL
            and history.final is not None
            and history.final.seq > self._began
        }
        try:
            wait_until(lambda: expected <= self._heard, seconds=seconds, what="all was heard")
        except AssertionError:
            missing = sorted(expected - self._heard)
            self._strange += [f"{self.account} never heard that {v} is {s}" for v, s in missing]
        self._stopping.set()
        return self._strange


def _messages(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The fields of each message that has an id (HTML standard, section 9.2.6)."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif "id" in fields:
            yield fields
            fields = {}
