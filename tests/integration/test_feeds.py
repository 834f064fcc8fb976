"""The event stream of a real `status`: memory, replays and bursts."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from itertools import islice, pairwise

import psutil
import pytest
import requests

from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.status.feeds.feed import STALL_SECONDS
from tests.bulk import message, publish_all
from tests.e2e.sse import StreamEvent, read_events
from tests.harness import RunningStack
from tests.patience import scaled, wait_until
from tests.unit.events import started

MIB = 1 << 20
SILENT = 30
# With the prompt, 40 kB of UTF-8 and 100 kB as the feed tells it, in ASCII.
METADATA = {f"name {n}": "\U0001f98a" * 360 for n in range(16)}
PROMPT = "\U0001f98a" * 4000


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`status` with its servers."""
    stack = RunningStack(tmp_path_factory.mktemp("feeds"))
    try:
        stack.start_servers()
        stack.start("status")
        yield stack
    finally:
        stack.close()


def _read(status: RunningStack, last_event_id: str | None = None) -> Iterator[StreamEvent]:
    """The events after `last_event_id`, or from now on."""
    events = read_events(f"http://127.0.0.1:{status.stack.ports['status']}", last_event_id)
    next(events)  # the position
    return events


def _keys(name: str, number: int) -> list[VideoKey]:
    return [VideoKey("default", f"{name}-{n}") for n in range(number)]


def _publish(status: RunningStack, keys: list[VideoKey]) -> None:
    """The request of each video; then, once these are stored, that each has started."""
    data = {"prompt": "a red circle"}
    publish_all(status.nats_url, [message(key, EventName.REQUESTED, data) for key in keys])
    publish_all(
        status.nats_url,
        [message(k, EventName.STARTED, started(k).model_dump(mode="json")) for k in keys],
    )


def _publish_large(status: RunningStack, keys: list[VideoKey]) -> None:
    data = {"prompt": PROMPT, "metadata": METADATA}
    publish_all(status.nats_url, [message(key, EventName.REQUESTED, data) for key in keys])


_NAMES = (EventName.REQUESTED, EventName.STARTED)


def _read_all(events: Iterator[StreamEvent], keys: list[VideoKey]) -> list[StreamEvent]:
    """Read until both events of all these videos were told."""
    missing = {(key.video_id, name.type) for key in keys for name in _NAMES}
    received = []
    while missing:
        event = next(events)
        received.append(event)
        missing.discard((event.subject, event.type))
    return received


def _check_complete(received: list[StreamEvent], keys: list[VideoKey]) -> None:
    """Each event once, in the order of its stream, and a video's in the order of its life."""
    for before, after in pairwise(map(_position, received)):
        assert before[0] <= after[0]
        assert before[1] <= after[1]
        assert before != after
    told = [(event.subject, event.type) for event in received]
    for name in _NAMES:
        subjects = [subject for subject, kind in told if kind == name.type]
        assert [s for s in subjects if s in {key.video_id for key in keys}] == [
            key.video_id for key in keys
        ]
    place = {event: n for n, event in enumerate(told)}
    for key in keys:
        requested, begun = (place[key.video_id, name.type] for name in _NAMES)
        assert requested < begun


def _position(event: StreamEvent) -> tuple[int, int]:
    requests, videos = event.id.split("-")
    return int(requests), int(videos)


def test_a_replay_of_everything_comes_through_one_connection(status: RunningStack) -> None:
    """Complete and in order, while new events go on arriving."""
    stored, new = _keys("stored", 2000), _keys("new", 500)
    _publish(status, stored)
    events = _read(status, "0-0")
    received = [next(events)]
    publisher = threading.Thread(target=_publish, args=(status, new))
    publisher.start()
    received += _read_all(events, new)
    publisher.join()
    _check_complete(received, [*stored, *new])


def test_every_connection_advances(status: RunningStack) -> None:
    """Also one that ends after its first event, which thousands more follow."""
    _publish(status, _keys("passed", 600))
    last, seen = "0-0", []
    for _ in range(5):
        event = next(_read(status, last))
        seen.append(event)
        last = event.id
    assert seen == list(islice(_read(status, "0-0"), 5))


def test_a_burst_is_told_in_full(status: RunningStack) -> None:
    """Twice 1,200 messages that come at once, to clients that read."""
    events = [_read(status) for _ in range(3)]
    burst = _keys("burst", 1200)
    _publish(status, burst)
    for client in events:
        _check_complete(_read_all(client, burst), burst)


def test_a_client_that_pauses_for_less_than_the_limit_misses_nothing(
    status: RunningStack,
) -> None:
    """Though it is further behind than what the process keeps for all clients."""
    events = _read(status)
    large = _keys("paused", 250)
    publisher = threading.Thread(target=_publish_large, args=(status, large))
    publisher.start()
    publisher.join(STALL_SECONDS / 2)
    received = [event.subject for event in islice(events, len(large))]
    publisher.join()
    assert received == [key.video_id for key in large]


def _silent_client(status: RunningStack) -> tuple[int, HTTPResponse]:
    """A client that reads the first line of the stream, and no further; with its port."""
    connection = HTTPConnection("127.0.0.1", status.stack.ports["status"], timeout=scaled(30))
    connection.request("GET", "/v1/events")
    port: int = connection.sock.getsockname()[1]
    answer = connection.getresponse()
    assert answer.readline().startswith(b": position ")
    return port, answer


def _has_connection(status: RunningStack, ports: set[int]) -> bool:
    connections = psutil.Process(status.worker_pid("status")).net_connections("tcp")
    return any(connection.raddr and connection.raddr.port in ports for connection in connections)


def _growth(status: RunningStack, keys: list[VideoKey], done: Callable[[], bool]) -> int:
    """By how much large videos grow `status` at most until `done`, in bytes of resident memory."""
    process = psutil.Process(status.worker_pid("status"))
    before = peak = process.memory_info().rss
    _publish_large(status, keys)

    def sample() -> bool:
        nonlocal peak
        over = done()
        peak = max(peak, process.memory_info().rss)
        return over

    wait_until(sample, seconds=60, what="the videos were taken in")
    return peak - before


def test_clients_that_do_not_read_cost_little_and_are_cut_off(status: RunningStack) -> None:
    """Beside what the list needs; the comment says so, and they resume without a gap."""
    url = f"http://127.0.0.1:{status.stack.ports['status']}/v1/videos?limit=1"

    def is_listed(key: VideoKey) -> bool:
        answer = requests.get(url, timeout=scaled(30))
        # While the machine is busy with the burst, NATS may answer too late.
        return answer.ok and bool(answer.json()["data"][0]["id"] == key.video_id)

    listed, told = _keys("listed", 400), _keys("told", 400)
    for_the_list = _growth(status, listed, lambda: is_listed(listed[-1]))
    log = status.stack.log_of("status")
    clients = dict(_silent_client(status) for _ in range(SILENT))
    grown = _growth(status, told, lambda: log.read_text().count("was not reading") == len(clients))
    wait_until(
        lambda: not _has_connection(status, set(clients)),
        seconds=10,
        what="their connections are closed",
    )
    metrics = requests.get(url.replace("/v1/videos?limit=1", "/metrics"), timeout=scaled(30)).text
    assert f'kinora_event_streams_dropped_total{{reason="slow"}} {len(clients)}.0' in metrics
    received = [client.read().decode() for client in clients.values()]
    assert grown - for_the_list < 64 * MIB
    for text in received:
        assert re.search(r"\n: cut off: .+\n+$", text), text[-200:]
    whole = re.findall(r"^id: (\S+)\nevent: \S+\ndata: .*\n\n", received[0], re.MULTILINE)
    rest = islice(_read(status, whole[-1]), len(told) - len(whole))
    assert [event.subject for event in rest] == [key.video_id for key in told[len(whole) :]]
