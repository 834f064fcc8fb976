"""An outage of NATS that is longer than the readiness probes' patience: docs/health.md."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from functions.shared.config import Settings
from tests.harness import RunningStack, is_stopped
from tests.manifests import container_of, overlay
from tests.patience import scaled, wait_until

ANSWERING = ("submit", "status")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    """What answers callers, and the servers behind it."""
    running = RunningStack(tmp_path / "stack")
    try:
        running.start_servers()
        running.start(*ANSWERING, "gateway")
        yield running
    finally:
        running.close()


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
    while time.monotonic() < end:
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
    created = requests.post(videos, json={"prompt": "a red circle"}, timeout=scaled(10))
    assert created.status_code == 200, created.text
