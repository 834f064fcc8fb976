"""Accounts change while the functions run, with real servers: nothing is restarted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from functions.setup.accounts import main as accounts
from tests.accounts import write_accounts
from tests.harness import RunningStack
from tests.patience import Limit, scaled, wait_until

FUNCTIONS = ("submit", "status")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The functions behind the gateway, with a file of accounts that has nobody's key."""
    folder = tmp_path_factory.mktemp("accounts")
    write_accounts(folder / "accounts.toml", {})
    running = RunningStack(folder / "data", {"ACCOUNTS_FILE": str(folder / "accounts.toml")})
    try:
        running.start_servers()
        running.start(*FUNCTIONS, "gateway")
        yield running
    finally:
        running.close()


@pytest.fixture
def file(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ACCOUNTS_FILE, for the command too."""
    path = stack.stack.data.with_name("accounts.toml")
    monkeypatch.setenv("ACCOUNTS_FILE", str(path))
    return path


def _add(account: str, name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    accounts(["add", account, name])
    return {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}


def _status(stack: RunningStack, headers: dict[str, str]) -> set[int]:
    """Of both functions: `submit` finds no such video, `status` lists none."""
    return {
        requests.post(
            f"{stack.url}/v1/videos/nope/cancel", headers=headers, timeout=scaled(10)
        ).status_code,
        requests.get(f"{stack.url}/v1/videos", headers=headers, timeout=scaled(10)).status_code,
    }


def _wait_for(stack: RunningStack, headers: dict[str, str], expected: set[int]) -> None:
    wait_until(
        lambda: _status(stack, headers) == expected, seconds=5, what=f"both answer {expected}"
    )


def test_keys_are_added_and_revoked_within_seconds(
    stack: RunningStack, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, which replaces the file. Other keys are not affected."""
    accounts(["list"])
    kept, revoked = _add("acme", "kept", capsys), _add("acme", "revoked", capsys)
    for headers in (kept, revoked):
        _wait_for(stack, headers, {404, 200})
    accounts(["revoke", "acme", "revoked"])
    _wait_for(stack, revoked, {401})
    assert _status(stack, kept) == {404, 200}
    assert revoked["Authorization"].split()[1] not in file.read_text()


def test_an_open_event_stream_ends_when_its_key_is_revoked(
    stack: RunningStack, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a comment that says why; the client's next attempt is refused."""
    assert file.exists()
    headers = _add("acme", "streaming", capsys)
    _wait_for(stack, headers, {404, 200})
    with requests.get(
        f"{stack.url}/v1/events", headers=headers, stream=True, timeout=scaled(30)
    ) as answer:
        lines = answer.iter_lines(chunk_size=None, decode_unicode=True)
        assert next(lines).startswith(": position ")
        accounts(["revoke", "acme", "streaming"])
        limit = Limit(5)
        text = [line for line in lines if line and line != ": keep-alive"]
        if limit.left <= 0:
            raise limit.failure("the event stream ends")
    assert text == [": cut off: this API key no longer works"]
    again = requests.get(f"{stack.url}/v1/events", headers=headers, timeout=scaled(10))
    assert again.status_code == 401


def test_a_key_expires_while_an_event_stream_is_open(stack: RunningStack, file: Path) -> None:
    """The stream ends when it does, and not before."""
    headers = {"Authorization": "Bearer short"}
    write_accounts(file, {"short": "acme"})
    _wait_for(stack, headers, {404, 200})
    with requests.get(
        f"{stack.url}/v1/events", headers=headers, stream=True, timeout=scaled(60)
    ) as answer:
        expires = int(time.time()) + 6
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
        write_accounts(file, {"short": "acme"}, expires={"short": when})
        lines = answer.iter_lines(chunk_size=None, decode_unicode=True)
        text = [line for line in lines if "cut off" in line]
        assert time.time() >= expires
    assert text == [": cut off: this API key no longer works"]
    assert _status(stack, headers) == {401}


def test_a_bad_file_is_told_and_the_last_good_one_is_kept(stack: RunningStack, file: Path) -> None:
    """In words by `/readyz`, which stays 200, by a metric, and by one line of the log."""
    write_accounts(file, {"good": "acme"})
    headers = {"Authorization": "Bearer good"}
    _wait_for(stack, headers, {404, 200})
    good = file.read_text()
    file.write_text(good + "[accounts.acme.weights]\n")
    for function in FUNCTIONS:
        url = f"http://127.0.0.1:{stack.table[function].probe.port}"

        def told(url: str = url) -> str | None:
            answer = requests.get(f"{url}/readyz", timeout=scaled(10))
            assert answer.status_code == 200
            warning: str | None = answer.json().get("warning")
            return warning

        warning = wait_until(told, seconds=5, what=f"{function} tells it")
        assert "accounts.acme.weights: is not known" in warning
        assert stack.log(function).count(warning) == 1
        metrics = requests.get(f"{url}/metrics", timeout=scaled(10)).text
        assert "kinora_accounts_file_in_use 0.0" in metrics
    assert _status(stack, headers) == {404, 200}
    file.write_text(good)
    wait_until(lambda: told() is None, seconds=5, what="the file is good again")
    assert "good" not in stack.log("status").replace("last good", ""), "no key is logged"


def test_a_bad_file_fails_the_start_with_one_line(tmp_path: Path) -> None:
    """Gunicorn ends, and does not try again."""
    file = tmp_path / "accounts.toml"
    file.write_text("[accounts.acme]\nshare = 2\n")
    # What `make run` checks before the start is not checked here.
    stack = RunningStack(tmp_path / "data", {"ACCOUNTS_FILE": str(file)})
    try:
        for function in (*FUNCTIONS, "dispatch"):
            with pytest.raises(AssertionError, match="ended with 3"):
                stack.start(function)
            lines = stack.log(function).splitlines()
            (line,) = [line for line in lines if "acme.share" in line]
            assert f"ACCOUNTS_FILE can't be used: {file}: accounts.acme.share: is not known" in line
            assert not any("Traceback" in line for line in lines)
    finally:
        stack.close()
