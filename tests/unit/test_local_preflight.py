"""What is wrong before a start is said on one line, with what to do about it."""

from __future__ import annotations

import json
import shutil
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.files import prepare
from local.ports import SettingsError
from local.preflight import check
from local.processes import processes
from local.stack import ROOT, Stack


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A stack whose model is there and whose ports are looked at by no test but one."""
    environ = {"KINORA_DATA": str(tmp_path / "data"), "MODEL": str(tmp_path)}
    return Stack.from_environ(environ)


def with_port(stack: Stack, name: str, port: int) -> Stack:
    by_name = {**stack.ports.by_name, name: port}
    return replace(stack, ports=replace(stack.ports, by_name=by_name))


@pytest.mark.parametrize(
    ("name", "setting"), [("gateway", "PORT"), ("nats", "NATS_PORT"), ("s3", "S3_PORT")]
)
def test_a_taken_port_is_named_with_its_setting(
    stack: Stack, taken_port: int, name: str, setting: str
) -> None:
    """The message says which port, what for, and the setting that chooses another."""
    # Only this listener, so that nothing else on this machine decides the test.
    alone = with_port(stack, name, taken_port)
    alone = replace(alone, ports=replace(alone.ports, by_name={name: taken_port}))
    message = (
        rf"port {taken_port} \({name}\) is taken: stop what uses it or choose another with "
        rf"{setting}="
    )
    with pytest.raises(SettingsError, match=message):
        check(alone)


def test_a_missing_program_is_named(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its servers installed, the stack says which is missing and how to get it."""
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    with pytest.raises(SettingsError, match=r"nats-server .* is missing: run `make install`"):
        check(stack)


def test_a_full_disk_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less than 1 GiB free nothing is started; the message names the folder's setting."""
    almost_full = SimpleNamespace(free=10 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: almost_full)
    with pytest.raises(SettingsError, match=r"10 MiB free, and 1024 MiB are needed.*KINORA_DATA="):
        check(stack)


def test_a_data_folder_that_cannot_be_made_is_refused(stack: Stack, tmp_path: Path) -> None:
    """A file where the folder should be is said, with the setting that chooses another."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"can't be created.*KINORA_DATA="):
        check(replace(stack, data=tmp_path / "file" / "data"))


def test_a_missing_model_folder_is_refused(stack: Stack) -> None:
    """A folder that is not there is named; a hub id is left to the engine."""
    with pytest.raises(SettingsError, match=r"model folder /no/such/model does not exist"):
        check(replace(stack, model="/no/such/model"))


def test_a_hub_id_needs_no_folder(stack: Stack) -> None:
    """`genmo/mochi-1-preview` passes: the engine fetches it."""
    nothing_to_listen_on = replace(stack.ports, by_name={})
    check(replace(stack, model="genmo/mochi-1-preview", ports=nothing_to_listen_on))


def test_credentials_are_random_private_and_kept(stack: Stack, tmp_path: Path) -> None:
    """Two starts share their credentials, two stacks do not, and only the owner reads them."""
    first, again = prepare(stack), prepare(stack)
    other = prepare(replace(stack, data=tmp_path / "other"))
    assert first == again
    assert first.secret_key != other.secret_key
    for name in ("credentials.json", "s3.json"):
        path = stack.data / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert first.secret_key in json.dumps(json.loads(path.read_text()))


def test_the_developers_own_cloud_is_out_of_reach(stack: Stack) -> None:
    """AWS settings, proxies and addresses of the caller's shell do not reach the functions."""
    shell = {
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_ACCESS_KEY_ID": "theirs",
        "S3_ENDPOINT": "https://s3.example.com",
        "NATS_URL": "nats://example.com",
        "MAX_IN_FLIGHT": "3",
    }
    mine = replace(stack, environ=shell)
    credentials = prepare(mine)
    for process in processes(mine, credentials):
        assert "AWS_PROFILE" not in process.env
        assert "theirs" not in process.env.values()
        if process.role == "function":
            assert process.env["S3_ENDPOINT"].startswith("http://127.0.0.1:")
            assert process.env["NATS_URL"].startswith("nats://127.0.0.1:")
            assert process.env["AWS_ACCESS_KEY_ID"] == credentials.access_key
            assert process.env["MAX_IN_FLIGHT"] == "3"
        assert "127.0.0.1" in process.env["NO_PROXY"]


def test_the_checkout_is_where_everything_runs(stack: Stack) -> None:
    """Each process starts in the checkout, whatever folder the caller stands in."""
    table = processes(stack, prepare(stack))
    assert {process.cwd for process in table} == {ROOT}
    assert len({process.name for process in table}) == len(table)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("LEASE_SECONDS", "x", "LEASE_SECONDS is 'x': "),
        ("QUEUE_LIMIT", "-1", "QUEUE_LIMIT is '-1': "),
        ("ACCOUNTS_FILE", "/nope", "ACCOUNTS_FILE can't be used: "),
    ],
)
def test_a_setting_that_no_function_could_use_is_said(
    stack: Stack, name: str, value: str, reason: str
) -> None:
    """Before anything is started, by the name of the variable."""
    with pytest.raises(SettingsError, match=reason) as error:
        check(replace(stack, environ={**stack.environ, name: value}))
    assert "\n" not in str(error.value)
