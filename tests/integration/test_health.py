"""docs/health.md: outages of NATS beyond the readiness probes' patience, and what asking costs."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import nats
import pytest
import requests
from nats.aio.msg import Msg

from functions.shared.config import Settings
from functions.shared.streams.nats_address import client_options
from functions.shared.subjects import REQUESTS, VIDEOS
from functions.submit.app import WRITES_BELIEVED_SECONDS
from tests.harness import RunningStack, is_stopped
from tests.manifests import container_of, overlay
from tests.patience import scaled, wait_until

ANSWERING = ("submit", "status")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """What answers callers, and the servers behind it."""
    running = RunningStack(tmp_path_factory.mktemp("health") / "stack")
    try:
        running.start_servers()
        running.start(*ANSWERING, "gateway")
        yield running
    finally:
        running.close()


@pytest.fixture
def stack(shared: RunningStack) -> Iterator[RunningStack]:
    """The shared stack; its NATS serves again after each test, even a failed one."""
    yield shared
    nats = shared.running["nats"]
    nats.send_signal(signal.SIGCONT)
    if nats.poll() is not None:
        shared.kill("nats")
        shared.start("nats")


def _patience(function: str) -> float:
    """Seconds after which Kubernetes takes a replica that fails its probes out of the endpoints."""
    probe = container_of(overlay("kind"), function)["readinessProbe"]
    return float(probe["periodSeconds"] * probe["failureThreshold"])


def _ready(stack: RunningStack, function: str) -> None:
    """Probe as the kubelet does, which does not wait any longer on a busy machine either."""
    probe = container_of(overlay("kind"), function)["readinessProbe"]
    url = f"http://127.0.0.1:{stack.table[function].probe.port}{probe['httpGet']['path']}"
    assert requests.get(url, timeout=scaled(probe["timeoutSeconds"])).status_code == 200, function


def _refused(response: requests.Response) -> None:
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) > 0
    assert response.json()["error"]["code"] in {"unavailable", "outcome_unknown"}


async def _ask_for_health(stack: RunningStack, callers: int) -> None:
    """Many ask `submit` at once: once a second, one of them causes a purge of each stream."""
    client = await nats.connect(**client_options(stack.nats_url))
    purges: Counter[str] = Counter()

    async def count(message: Msg) -> None:
        purges[message.subject] += 1

    await client.subscribe("$JS.API.STREAM.PURGE.*", cb=count)
    await client.flush(timeout=int(scaled(10)))
    url = f"http://127.0.0.1:{stack.table['submit'].probe.port}/health"

    def health(_: int = 0) -> int:
        return requests.get(url, timeout=scaled(30)).status_code

    start = time.monotonic()
    with ThreadPoolExecutor(callers) as pool:
        codes = await asyncio.to_thread(lambda: set(pool.map(health, range(callers))))
    assert codes == {200}
    # Its answer comes after what was sent before.
    await client.flush(timeout=int(scaled(10)))
    # One, unless this machine takes longer for the calls than the outcome is believed.
    most = 1 + (time.monotonic() - start) / WRITES_BELIEVED_SECONDS
    assert all(number <= most for number in purges.values()), purges

    # None, if the stack asked just before. Then the next one comes soon.
    def both() -> bool:
        return health() == 200 and len(purges) == 2

    await asyncio.to_thread(wait_until, both, seconds=10, what="each stream was purged")
    assert set(purges) == {f"$JS.API.STREAM.PURGE.{name}" for name in (REQUESTS, VIDEOS)}
    await client.close()


def test_many_callers_of_health_cost_one_purge(stack: RunningStack) -> None:
    """It needs no key, and in a cluster each purge is written down, so one a second must do."""
    asyncio.run(_ask_for_health(stack, callers=50))


@pytest.mark.parametrize("outage", [signal.SIGKILL, signal.SIGSTOP])
def test_callers_are_answered_throughout_an_outage_of_nats(
    stack: RunningStack, outage: signal.Signals
) -> None:
    """NATS is stopped, or hangs: both functions stay ready, and answer 503 within the deadline.

    Were they not ready, Knative would hold requests until they are. `GET /health` tells the truth.
    """
    for function in ANSWERING:
        _ready(stack, function)
    assert requests.get(f"{stack.url}/health", timeout=scaled(10)).status_code == 200
    nats = stack.running["nats"]
    nats.send_signal(outage)
    wait_until(lambda: is_stopped(nats.pid), seconds=10, what="NATS is stopped")
    end = time.monotonic() + max(map(_patience, ANSWERING)) + 5
    videos = f"{stack.url}/v1/videos"
    # Two seconds for the gateway and a busy machine.
    deadline = Settings().http_deadline_seconds + 2
    pace = threading.Event()
    while time.monotonic() < end:
        pace.wait(0.5)  # twice as often as the kubelet
        _refused(requests.post(videos, json={"prompt": "a red circle"}, timeout=scaled(deadline)))
        _refused(requests.get(videos, timeout=scaled(deadline)))
        _refused(requests.get(f"{videos}/video_1", timeout=scaled(deadline)))
        for function in ANSWERING:
            _ready(stack, function)
    health = requests.get(f"{stack.url}/health", timeout=scaled(deadline))
    assert health.status_code == 503
    assert "NATS" in health.json()["error"]["message"]

    if outage == signal.SIGKILL:
        stack.kill("nats")
        stack.start("nats")
    else:
        nats.send_signal(signal.SIGCONT)
    for function in ANSWERING:
        # Its probe is `/health`.
        stack.wait_ready(function)
    assert requests.get(f"{stack.url}/health", timeout=scaled(10)).status_code == 200

    def accepted() -> bool:
        return requests.post(videos, json={"prompt": "a red circle"}, timeout=scaled(10)).ok

    wait_until(accepted, seconds=10, what="a video is accepted")
