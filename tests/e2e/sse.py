"""A minimal client of the event stream (`GET /v1/events`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from tests.patience import scaled


@dataclass(frozen=True)
class StreamEvent:
    """An event. The first one has only an id: the position where the connection starts."""

    id: str
    type: str
    subject: str


def read_events(url: str, last_event_id: str | None = None) -> Iterator[StreamEvent]:
    """Yield the events of the gateway at `url`, after `last_event_id` or from now on."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with requests.get(
        f"{url}/v1/events", headers=headers, stream=True, timeout=scaled(30)
    ) as answer:
        answer.raise_for_status()
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines(chunk_size=None, decode_unicode=True):
            name, _, value = line.partition(": ")
            if value.startswith("position "):  # of a comment, whose name is empty
                yield StreamEvent(value.removeprefix("position "), "", "")
            elif name:
                fields[name] = value
            elif "id" in fields:
                subject = json.loads(fields.get("data", "{}")).get("subject", "")
                yield StreamEvent(fields["id"], fields.get("event", ""), subject)
                fields = {}
