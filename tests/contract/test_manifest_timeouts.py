"""Timeouts of Knative, gunicorn and `dispatch` fit each other, and threads fit concurrency."""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
import sys
from typing import Any

import pytest

from local.stack import ROOT
from tests.manifests import (
    EACH_OVERLAY,
    container_of,
    environment,
    find,
    overlay,
    settings_of,
)


def _gunicorn_settings(
    function: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Gunicorn's settings for a function with these environment variables."""
    for key in ("GRACEFUL_TIMEOUT", "DRAIN_SECONDS", "HOST"):
        monkeypatch.delenv(key, raising=False)
    for key, value in variables.items():
        if "/" not in key:
            monkeypatch.setenv(key, value)
    # A fresh copy: the module reads the environment when it is imported.
    spec = importlib.util.find_spec("functions.shared.api.gunicorn")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "functions.shared.api.gunicorn", module)
        return runpy.run_path(str(ROOT / "functions" / function / "gunicorn.conf.py"))


@pytest.mark.parametrize("function", ["submit", "status", "dispatch", "generate"])
def test_no_worker_is_killed_for_a_late_heartbeat(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a healthy worker is late: probes decide, which ask it."""
    assert _gunicorn_settings(function, {}, monkeypatch)["timeout"] == 0


@EACH_OVERLAY
@pytest.mark.parametrize("function", ["submit", "status", "generate"])
def test_a_stop_waits_for_the_longest_request(
    name: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gunicorn's grace period is no shorter than Knative's time limit for a request."""
    objects = overlay(name)
    service = find(objects, "Service", function)
    variables = environment(objects, container_of(objects, function))
    graceful = _gunicorn_settings(function, variables, monkeypatch)["graceful_timeout"]
    assert graceful >= service["spec"]["template"]["spec"]["timeoutSeconds"]


@EACH_OVERLAY
@pytest.mark.parametrize("function", ["submit", "status"])
def test_there_is_a_thread_for_every_concurrent_request(
    name: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for probes: requests that all wait for NATS must not make a replica look dead.

    Requests that exceed containerConcurrency queue where the autoscaler counts them.
    """
    objects = overlay(name)
    service = find(objects, "Service", function)["spec"]["template"]["spec"]
    variables = environment(objects, container_of(objects, function))
    threads = _gunicorn_settings(function, variables, monkeypatch)["threads"]
    assert 0 < service["containerConcurrency"] <= threads - 4


@EACH_OVERLAY
def test_dispatch_times_out_before_knative(name: str) -> None:
    """`dispatch` stops waiting for a replica before Knative closes the request."""
    objects = overlay(name)
    spec = find(objects, "Service", "generate")["spec"]["template"]["spec"]
    first_byte = settings_of(objects, container_of(objects, "dispatch")).first_byte_seconds
    assert first_byte <= spec["responseStartTimeoutSeconds"] <= spec["timeoutSeconds"]
    assert first_byte <= spec["idleTimeoutSeconds"] <= spec["timeoutSeconds"]


def test_status_may_open_a_descriptor_for_every_connection() -> None:
    """Also where a process may have 1,024 until it asks for more, as in many containers."""
    program = (
        "import resource, runpy\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))\n"
        "settings = runpy.run_path('functions/status/gunicorn.conf.py')\n"
        "settings['post_worker_init'](None)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], settings['worker_connections'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    descriptors, connections = map(int, run.stdout.split())
    assert descriptors > connections
