"""What hostile callers do to a running stack, through its gateway, while others use it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psutil
import pytest
import requests
from openai import BadRequestError, OpenAI

from tests import patience
from tests.e2e.client import TINY
from tests.harness import RunningStack

# More than `submit` has threads, and than the gateway keeps idle connections to a function.
CALLERS = 140
IDLE_CONNECTIONS = 32  # Caddy's own default
CREATIONS = 5
# Beside one creation, which takes as long as one to three of them, on a busy machine a few more.
# Without turns, it is fifty.
MAX_PARSED = 15
# Longer than any answer takes on a busy machine; a call that gets none fails with the test's limit.
TIMEOUT = 600
# For an innocent caller's response beside an attack, in seconds of processor time served.
SOON = 2.0


@contextmanager
def _held(kinora: RunningStack, sent: bytes) -> Iterator[None]:
    """Connections to the gateway that stay open, on each of which `sent` was sent."""
    with ExitStack() as stack:
        for _ in range(CALLERS):
            address = ("127.0.0.1", kinora.stack.ports["gateway"])
            connection = stack.enter_context(socket.create_connection(address, timeout=TIMEOUT))
            connection.sendall(sent)
        yield


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n1",
        b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n1",
        b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
        b"GET /v1/videos HTTP/1.1\r\nHos",
        # More than the gateway buffers, of a body that is never complete.
        b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n"
        + b"x" * (600 << 10),
    ],
)
def test_unfinished_requests_hold_nobody_up(kinora: RunningStack, sent: bytes) -> None:
    """Without a key, and more of them than `submit` has threads; none of them reaches `status`."""
    gateway = psutil.Process(kinora.running["gateway"].pid)
    with _held(kinora, sent):
        started = patience.now().served
        peers = [connection.raddr for connection in gateway.net_connections() if connection.raddr]
        to_status = [peer for peer in peers if peer.port == kinora.stack.ports["status"]]
        assert len(to_status) <= IDLE_CONNECTIONS + 1
        listed = requests.get(f"{kinora.stack.url}/v1/videos", timeout=TIMEOUT)
        refused = requests.post(f"{kinora.stack.url}/v1/videos", json={}, timeout=TIMEOUT)
        assert (listed.status_code, refused.status_code) == (200, 400)
        assert patience.now().served - started < SOON


def test_others_create_while_many_send_large_bodies(kinora: RunningStack) -> None:
    """Python lets no other thread run while it parses one, so few are parsed meanwhile."""
    names = ",".join(f'"{n:x}":1' for n in range(26_000))
    body = f'{{{names},"0":1}}'
    url, json = f"{kinora.stack.url}/v1/videos", {"content-type": "application/json"}
    answers: list[int] = []
    ended = threading.Event()

    def send() -> None:
        while not ended.is_set():
            answers.append(requests.post(url, data=body, headers=json, timeout=TIMEOUT).status_code)

    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(send) for _ in range(16)]
        try:
            patience.wait_until(lambda: answers.count(400), seconds=60, what="one was parsed")
            parsed = answers.count(400)
            for _ in range(CREATIONS):
                assert requests.post(url, json={"prompt": "x", **TINY}, timeout=TIMEOUT).ok
            parsed = answers.count(400) - parsed
        finally:
            ended.set()
        for call in calls:
            call.result()
    assert set(answers) <= {400, 503}
    assert parsed < MAX_PARSED * CREATIONS


def test_a_large_photo_is_refused_in_words_and_not_kept_in_memory(kinora: RunningStack) -> None:
    """Clients that read no response before they have sent everything get it too."""
    client = OpenAI(base_url=f"{kinora.stack.url}/v1", api_key="none", max_retries=0)
    servers = [psutil.Process(kinora.running[name].pid) for name in ("gateway", "submit")]
    photo = b"\x89PNG" * (5 << 20)
    for size in (len(photo), 4 * len(photo)):
        before = [_memory(server) for server in servers]
        with pytest.raises(BadRequestError, match="from text only"):
            client.videos.create(
                prompt="a red circle", input_reference=("a.png", photo * (size // len(photo)))
            )
    # The first one may have loaded code.
    for server, memory in zip(servers, before, strict=True):
        assert _memory(server) - memory < len(photo) / 2


def _memory(server: psutil.Process) -> int:
    """Of a process and its children, in bytes."""
    processes = [server, *server.children(recursive=True)]
    return sum(process.memory_info().rss for process in processes)


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "; ".join(f"sso{n}={'x' * 4000}" for n in range(8))},
        {f"X-Team-{n}": "a" for n in range(150)},
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/videos", "/health"])
def test_headers_for_other_programs_are_no_error(
    kinora: RunningStack, path: str, headers: dict[str, str]
) -> None:
    """Kinora uses no cookies: the gateway drops those of its host's other programs."""
    answer = requests.get(f"{kinora.stack.url}{path}", headers=headers, timeout=TIMEOUT)
    assert answer.status_code == 200


def test_a_page_of_another_site_makes_no_video(kinora: RunningStack) -> None:
    """Though a browser sends its form without asking first."""
    headers = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    response = requests.post(
        f"{kinora.stack.url}/v1/videos", headers=headers, data={"prompt": "x"}, timeout=TIMEOUT
    )
    assert response.status_code == 403


@pytest.mark.parametrize("part", ["gateway", "submit", "status", "dispatch", "generate-1"])
def test_a_local_stack_answers_to_its_own_names_only(kinora: RunningStack, part: str) -> None:
    """A page whose name was made to resolve to this machine gets nothing from any of its ports."""
    url = f"http://127.0.0.1:{kinora.stack.ports[part]}/v1/videos"
    response = requests.get(url, headers={"Host": "evil.example"}, timeout=TIMEOUT)
    assert response.status_code == 421
    assert "ALLOWED_HOSTS" in response.json()["error"]["message"]
