"""What hostile callers do to a local stack; `benchmarks/attacks.py` measures what others notice.

Each attack is a context manager: it goes on, with bounded means, until the block ends.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import requests

from benchmarks.attack_stage import Stage

# More than `status` has threads for reads.
UNFINISHED: Final = 1_100
SILENT: Final = 30
STREAMS: Final = 112  # all that there were at first
DOWNLOADS: Final = 128
DELETIONS: Final = 20
BODIES: Final = 16
SEARCHERS: Final = 8
REPEATED_PROMPTS: Final = 1_100
_TIMEOUT_SECONDS: Final = 60.0


@contextmanager
def _repeating(
    count: int, action: Callable[[requests.Session, int], requests.Response], stage: Stage
) -> Iterator[None]:
    """Let `count` callers do the same over and over; note what they are answered."""
    stopping, answers = threading.Event(), Counter[int]()

    def repeat(number: int) -> None:
        with requests.Session() as session:
            while not stopping.is_set():
                with suppress(requests.RequestException):
                    answers[action(session, number).status_code] += 1

    with ThreadPoolExecutor(count) as pool:
        for number in range(count):
            pool.submit(repeat, number)
        try:
            yield
        finally:
            stopping.set()
    stage.note(", ".join(f"{times} x {status}" for status, times in sorted(answers.items())))


def store_repeated_prompts(stage: Stage) -> None:
    """Request videos whose prompts are the same letter, as often as a prompt allows."""
    with ThreadPoolExecutor(BODIES) as pool:
        for answer in pool.map(
            lambda _: stage.request("POST", "", json={"prompt": "a" * 4096}),
            range(REPEATED_PROMPTS),
        ):
            answer.raise_for_status()


@contextmanager
def searches(stage: Stage) -> Iterator[None]:
    """Search these prompts for 100 and for 1,000 of that letter."""

    def search(session: requests.Session, number: int) -> requests.Response:
        query = {"q": "a" * (100, 1000)[number % 2]}
        return session.get(
            stage.url, params=query, headers=stage.headers(), timeout=_TIMEOUT_SECONDS
        )

    with _repeating(SEARCHERS, search, stage):
        yield


@contextmanager
def bodies(stage: Stage) -> Iterator[None]:
    """Send bodies of as many names as fit, of which the last is a duplicate."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    names = [a + b + c for a in digits for b in digits for c in digits][:32_000]
    body = "{" + ",".join(f'"{name}":1' for name in [*names, names[0]]) + "}"

    def send(session: requests.Session, _: int) -> requests.Response:
        headers = stage.headers() | {"content-type": "application/json"}
        return session.post(stage.url, data=body, headers=headers, timeout=_TIMEOUT_SECONDS)

    with _repeating(BODIES, send, stage):
        yield


@contextmanager
def _connections(port: int, count: int, sent: Callable[[int], str]) -> Iterator[None]:
    """Open connections on which `sent` was sent, and from which nothing is read."""
    with ExitStack() as stack:
        for number in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            # What the kernel would take in their place.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(sent(number).encode())
        yield


def _unfinished(number: int) -> str:
    # Half of them lack the end of their headers, half that of their body.
    if number % 2:
        return "GET /v1/videos HTTP/1.1\r\nHos"
    return "GET /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n1"


@contextmanager
def unfinished_through_gateway(stage: Stage) -> Iterator[None]:
    """Hold requests open that never end, without a key."""
    with _connections(stage.port("gateway"), UNFINISHED, _unfinished):
        yield


@contextmanager
def unfinished_to_status(stage: Stage) -> Iterator[None]:
    """The same past the gateway, as a caller inside the network may."""
    with _connections(stage.port("status"), UNFINISHED, _unfinished):
        yield


def _get(stage: Stage, path: str) -> Callable[[int], str]:
    def request(number: int) -> str:
        headers = {"Host": "localhost", **stage.headers(number)}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines) + "\r\n\r\n"

    return request


@contextmanager
def unread_responses(stage: Stage) -> Iterator[None]:
    """Open downloads of a large file and event streams, and read nothing."""
    gateway = stage.port("gateway")
    content = f"/v1/videos/{stage.completed_video}/content"
    with (
        _connections(gateway, DOWNLOADS, _get(stage, content)),
        _connections(gateway, STREAMS, _get(stage, "/v1/events")),
    ):
        yield


@contextmanager
def frozen_store(stage: Stage) -> Iterator[None]:
    """Freeze the object store; download, delete and open event streams meanwhile."""
    doomed = [stage.create() for _ in range(DELETIONS)]
    content = f"/v1/videos/{stage.completed_video}/content"
    gateway = stage.port("gateway")
    # The store is resumed before the deletions are waited for.
    with (
        ThreadPoolExecutor(DELETIONS) as pool,
        stage.frozen("s3"),
        _connections(gateway, DOWNLOADS, _get(stage, content)),
        _connections(gateway, STREAMS, _get(stage, "/v1/events")),
    ):
        for video_id in doomed:
            pool.submit(_delete, stage, video_id)
        yield


def _delete(stage: Stage, video_id: str) -> None:
    with suppress(requests.RequestException):
        stage.request("DELETE", f"/{video_id}")


@contextmanager
def silent_streams(stage: Stage) -> Iterator[None]:
    """Open event streams that are not read, and let large events happen."""
    with (
        _connections(stage.port("gateway"), SILENT, _get(stage, "/v1/events")),
        large_events(stage, "beside"),
    ):
        yield


@contextmanager
def large_events(stage: Stage, when: str = "alone") -> Iterator[None]:
    """Let large events happen, and note how the memory of `status` grows."""
    with stage.memory_growth("status", when), ThreadPoolExecutor(1) as pool:
        published = pool.submit(stage.request_large_videos)
        yield
        published.result()
