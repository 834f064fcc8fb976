"""What a request costs grows with its size, and not faster, whatever is wrong with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.api import EVENT, Api

FORM = "application/x-www-form-urlencoded"
# Of the larger of two bodies that are compared; 256 KiB are accepted.
BYTES = 240_000


def _unique(separator: str, item: str, size: int) -> str:
    """About `size` bytes of items, with their numbers in place of `#`."""
    length = len(item) + len(separator) + 4
    return separator.join(item.replace("#", f"{n:05}") for n in range(size // length))


def _multipart(size: int) -> str:
    part = '--b\r\ncontent-disposition: form-data; name="a#"\r\n\r\n\r\n'
    return _unique("", part, size) + "--b--\r\n"


def _batch(size: int) -> str:
    event = EVENT | {"subject": "v#", "data": {"prompt": "x"}}
    # As many as a batch may have, so that the size is in the attributes.
    return json.dumps([event | {"subject": f"v{n}", "x": "y" * (size // 50)} for n in range(50)])


BODIES: dict[str, tuple[str, Callable[[int], str]]] = {
    "names": ("application/json", lambda size: "{" + _unique(",", '"#":1', size) + "}"),
    "names and a repeated one": (
        "application/json",
        lambda size: "{" + _unique(",", '"#":1', size) + ',"x":1,"x":1}',
    ),
    "repeated names": ("application/json", lambda size: '{"a":1' + ',"a":1' * (size // 6) + "}"),
    "metadata": (
        "application/json",
        lambda size: '{"prompt":"x","metadata":{' + _unique(",", '"#":1', size) + "}}",
    ),
    "numbers": ("application/json", lambda size: "[" + _unique(",", "9" * 4000, size) + "]"),
    "a long number": ("application/json", lambda size: "9" * size),
    "a long fraction": ("application/json", lambda size: '{"seconds":0.' + "9" * size + "}"),
    "a long text": ("application/json", lambda size: '{"seconds":"' + "1" * size + '"}'),
    "a long size": ("application/json", lambda size: '{"prompt":"x","size":"' + "1" * size + '"}'),
    "a long name": ("application/json", lambda size: '{"' + "prompt" * (size // 6) + '":1}'),
    "open brackets": ("application/json", lambda size: "[" * size),
    "escapes": ("application/json", lambda size: '{"prompt":"' + "\\u0061" * (size // 6) + '"}'),
    "combining marks": (
        "application/json",
        lambda size: json.dumps({"prompt": "\u0301" * (size // 6)}),
    ),
    "a form": (FORM, lambda size: _unique("&", "#=1", size)),
    "a form of pairs": (FORM, lambda size: _unique("&", "metadata[#]=1", size)),
    "a form with a repeated name": (FORM, lambda size: "a=1&" * (size // 4)),
    "a form of separators": (FORM, lambda size: "&" * size),
    "a form of percent signs": (FORM, lambda size: "%" * size),
    "a form with a document": (FORM, lambda size: "metadata={" + _unique(",", '"#":1', size) + "}"),
    "a long part": (
        "multipart/form-data; boundary=b",
        lambda size: (
            '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n'
            + "\r\n-" * (size // 3)
            + "\r\n--b--\r\n"
        ),
    ),
    "parts": ("multipart/form-data; boundary=b", _multipart),
    "a part of headers": (
        "multipart/form-data; boundary=b",
        lambda size: "--b\r\n" + _unique("\r\n", "a#: b", size) + "\r\n\r\n\r\n--b--\r\n",
    ),
    "a part without an end": (
        "multipart/form-data; boundary=b",
        lambda size: "--b\r\n" + "a" * size,
    ),
    "quotes in a part": (
        "multipart/form-data; boundary=b",
        lambda size: (
            '--b\r\ncontent-disposition: form-data; name="'
            + '\\"' * (size // 2)
            + "\r\n\r\n\r\n--b--\r\n"
        ),
    ),
}
EVENTS: dict[str, tuple[str, Callable[[int], str]]] = {
    "an event with attributes": (
        "application/cloudevents+json",
        lambda size: json.dumps(EVENT)[:-1] + "," + _unique(",", '"a#":1', size) + "}",
    ),
    "an event with a long source": (
        "application/cloudevents+json",
        lambda size: json.dumps(EVENT | {"source": "é" * (size // 6)}),
    ),
    "an event with a long time": (
        "application/cloudevents+json",
        lambda size: json.dumps(EVENT | {"time": "2026-11-18T10:00:00." + "1" * size}),
    ),
    "a batch": ("application/cloudevents-batch+json", _batch),
    "a batch of nothing": (
        "application/cloudevents-batch+json",
        lambda size: "[" + "0," * (size // 2) + "0]",
    ),
}
QUERIES: dict[str, Callable[[int], str]] = {
    "statuses": lambda size: "status=" + "queued," * (size // 7),
    "repeated statuses": lambda size: "status=queued&" * (size // 14),
    "pairs": lambda size: _unique("&", "metadata[#]=1", size),
    "brackets": lambda size: "metadata" + "[" * size,
    "a long time": lambda size: "created_after=2026-11-18T10:00:00." + "1" * size,
    "a long fraction": lambda size: "created_after=1." + "1" * size,
    "a long text": lambda size: "q=" + "%CC%81" * (size // 6),
    "names": lambda size: _unique("&", "#=1", size),
}
HEADERS: dict[str, Callable[[int], dict[str, str]]] = {
    "Accept": lambda size: {"Accept": "a/b;q=0.1," * (size // 10)},
    "Accept-Encoding": lambda size: {"Accept-Encoding": "gzip;q=0.5," * (size // 11)},
    "If-None-Match": lambda size: {"If-None-Match": '"a",' * (size // 4)},
    "quotes": lambda size: {"If-None-Match": '"' * size},
    "Range": lambda size: {"Range": "bytes=" + "0-1," * (size // 4)},
    "digits": lambda size: {"Range": "bytes=" + "0" * size},
    "If-Range": lambda size: {"If-Range": '"a",' * (size // 4)},
    "Authorization": lambda size: {"Authorization": "Basic " + "a=," * (size // 3)},
    "Content-Type": lambda size: {"Content-Type": "a/b;" + "c=d;" * (size // 4)},
    "Cookie": lambda size: {"Cookie": "a=b;" * (size // 4)},
    "Origin": lambda size: {"Origin": "https://" + "a." * (size // 2)},
    "Access-Control-Request-Headers": lambda size: {
        "Access-Control-Request-Headers": "a," * (size // 2)
    },
    "Last-Event-ID": lambda size: {"Last-Event-ID": "1-" * (size // 2)},
    "x-request-id": lambda size: {"x-request-id": "a" * size + "!"},
}
# gunicorn reads headers and request lines of at most 8,190 bytes.
LINE = 8000


def _check_cost(send: Callable[[int], Any], size: int) -> None:
    """Four times the size costs about four times as much; a square would be sixteen times.

    Times below a few milliseconds say nothing.
    """
    send(size)

    def cost(size: int) -> float:
        taken = []
        for _ in range(3):
            begun = time.process_time()
            send(size)
            taken.append(time.process_time() - begun)
        return min(taken)

    assert cost(size) < 0.02 + 8 * cost(size // 4)


@pytest.mark.parametrize("name", BODIES)
def test_the_cost_of_a_body_is_linear(api: Api, name: str) -> None:
    """Of any JSON or form, valid or not."""
    content_type, body = BODIES[name]
    _check_cost(
        lambda size: api.submit.post("/v1/videos", data=body(size), content_type=content_type),
        BYTES,
    )


@pytest.mark.parametrize("name", EVENTS)
def test_the_cost_of_an_event_is_linear(api: Api, name: str) -> None:
    """Of one, and of a batch."""
    content_type, body = EVENTS[name]
    _check_cost(
        lambda size: api.submit.post("/", data=body(size), content_type=content_type), BYTES
    )


@pytest.mark.parametrize("name", QUERIES)
def test_the_cost_of_a_query_is_linear(api: Api, name: str) -> None:
    """Of the longest that the server reads."""
    _check_cost(lambda size: api.status.get(f"/v1/videos?{QUERIES[name](size)}"), LINE)


@pytest.mark.parametrize("name", HEADERS)
def test_the_cost_of_a_header_is_linear(api: Api, name: str) -> None:
    """Of the longest that the server reads, on every kind of route."""
    for path in ("/v1/videos/v1/content", "/v1/videos", "/nope"):
        _check_cost(
            lambda size: api.status.get(path, headers=HEADERS[name](size)),  # noqa: B023 - called at once
            LINE,
        )
