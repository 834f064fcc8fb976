"""A client of the event stream, as simple as one can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from tests.patience import scaled


@dataclass(frozen=True)
class Heard:
    """An event. The first one of a stream has an id only, which is where it begins."""

    id: str
    type: str
    subject: str


def events(url: str, last: str | None = None) -> Iterator[Heard]:
    """What the gateway at `url` tells from the id `last` on, or from now on."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with requests.get(
        f"{url}/v1/events", headers=headers, stream=True, timeout=scaled(30)
    ) as answer:
        answer.raise_for_status()
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "id" in fields:
                subject = json.loads(fields.get("data", "{}")).get("subject", "")
                yield Heard(fields["id"], fields.get("event", ""), subject)
                fields = {}
