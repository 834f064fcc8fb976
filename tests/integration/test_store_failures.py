"""Each way in which a real object store refuses is told in words that say what to correct."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from functions.setup.__main__ import main as set_up
from functions.shared.config import Settings
from functions.shared.errors import Unavailable
from functions.shared.storage import S3Store
from tests.harness import RunningStack
from tests.patience import scaled
from tests.ports import free_ports
from tests.wrong_clocks import wrong_clock

# Signs a request, and prints why the store refused it.
CHECK_WRITES = """
from functions.shared.config import load_settings
from functions.shared.errors import Unavailable
from functions.shared.storage import S3Store
try:
    S3Store.from_settings(load_settings()).check_writes()
except Unavailable as problem:
    print(problem.message)
"""


@pytest.fixture(autouse=True)
def _keys(servers: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.credentials.secret_key)


def _refusal(settings: Settings) -> str:
    with pytest.raises(Unavailable) as refusal:
        S3Store.from_settings(settings).check_writes()
    return refusal.value.message


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("AWS_SECRET_ACCESS_KEY", "refuses the signature. AWS_SECRET_ACCESS_KEY is wrong"),
        ("AWS_ACCESS_KEY_ID", "does not know the key in AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_wrong_key_is_named(
    server_settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    """By the variable that holds it; neither key is in the message."""
    monkeypatch.setenv(variable, "wrong")
    assert _refusal(server_settings) == f"The object store {words}"


def test_missing_keys_are_named(server_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without asking the store."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, os.devnull)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in _refusal(server_settings)


@pytest.mark.parametrize("offset", ["+2h", "-2h"])
def test_a_wrong_clock_is_named(server_settings: Settings, offset: str) -> None:
    """S3 accepts signatures that are up to 15 minutes old, or early."""
    endpoint = {"S3_ENDPOINT": server_settings.s3_endpoint or ""}
    said = subprocess.run(
        [sys.executable, "-c", CHECK_WRITES],
        env={**os.environ, **endpoint, **wrong_clock(offset)},
        capture_output=True, text=True, check=True, timeout=scaled(60),
    )  # fmt: skip
    assert "refuses this machine's clock" in said.stdout


def test_a_refused_connection_is_named(server_settings: Settings) -> None:
    """Nothing listens where the store should be."""
    [port] = free_ports(1)
    elsewhere = server_settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{port}"})
    assert "refuses connections" in _refusal(elsewhere)


def test_an_unknown_name_is_named(server_settings: Settings) -> None:
    """RFC 6761: no name below `.invalid` has an address."""
    elsewhere = server_settings.model_copy(update={"s3_endpoint": "http://store.invalid"})
    assert "no address is known for the name in S3_ENDPOINT" in _refusal(elsewhere)


def test_a_store_that_is_silent_is_named(server_settings: Settings) -> None:
    """It accepts the connection, and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        elsewhere = server_settings.model_copy(update={"s3_endpoint": endpoint})
        assert "does not answer in time" in _refusal(elsewhere)


def test_a_missing_bucket_is_named(server_settings: Settings) -> None:
    """Told when reading: SeaweedFS creates a bucket for a write with an administrator's keys."""
    elsewhere = server_settings.model_copy(update={"s3_bucket": "nowhere"})
    with pytest.raises(Unavailable) as refusal:
        list(S3Store.from_settings(elsewhere).list_objects(""))
    assert "has no bucket nowhere. `python -m functions.setup` creates it" in refusal.value.message


def test_the_set_up_command_says_it_in_one_line(
    servers: RunningStack, server_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of a traceback, in the log of a Job."""
    monkeypatch.setenv("NATS_URL", servers.nats_url)
    monkeypatch.setenv("S3_ENDPOINT", server_settings.s3_endpoint or "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SystemExit, match="AWS_SECRET_ACCESS_KEY is wrong"):
        set_up()
