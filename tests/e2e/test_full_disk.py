"""`make run` on a disk that was full for a while."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.test_make_run import Run, create_video
from tests.patience import scaled, wait_until
from tests.ports import stack_settings
from tests.small_disk import SmallDisk, small_disk


def _post(url: str) -> int:
    answer = requests.post(f"{url}/v1/videos", json={"prompt": "a red circle"}, timeout=scaled(20))
    return answer.status_code


def _is_refused(method: str, url: str) -> bool:
    """Whether a change is refused because NATS stores nothing."""
    answer = requests.request(method, url, timeout=scaled(20))
    return answer.status_code == 503 and answer.json()["error"]["code"] == "not_stored"


def _fill_until_refused(disk: SmallDisk, url: str) -> None:
    """Fill the disk, and request videos until NATS can't store one, and callers are told so."""
    disk.fill()
    wait_until(lambda: _is_not_stored(url), seconds=60, what="a request is refused at once")


def _is_not_stored(url: str) -> bool:
    """Whether a request is refused because of what others have met, with a time to retry."""
    answer = requests.post(f"{url}/v1/videos", json={"prompt": "a red circle"}, timeout=scaled(20))
    if answer.status_code != 503 or answer.json()["error"]["code"] != "not_stored":
        return False
    assert int(answer.headers["Retry-After"]) > 0
    return True


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk for NATS, and for logs, which a full disk loses as well."""
    with small_disk(tmp_path / "disk") as found:
        data = tmp_path / "the data"
        data.mkdir()
        for folder in ("nats", "logs"):
            (found.path / folder).mkdir()
            (data / folder).symlink_to(found.path / folder)
        yield found


def _problem(url: str) -> str:
    """What `GET /health` says is wrong; empty if it is good."""
    response = requests.get(f"{url}/health", timeout=scaled(10))
    return str(response.json()["error"]["message"]) if response.status_code == 503 else ""


def test_make_run_restarts_nats_once_there_is_room_again(disk: SmallDisk, tmp_path: Path) -> None:
    """It says that NATS has stopped storing messages, and why; and nothing else is restarted.

    What callers want to change is refused meanwhile. Afterwards it works as before, and ends with
    the status 0 when it is told to.
    """
    run = Run({**stack_settings(), "KINORA_DATA": str(tmp_path / "the data")})
    try:
        run.wait_ready()
        url = run.stack.url
        video = f"{url}/v1/videos/{create_video(run, 'a blue circle')}"
        _fill_until_refused(disk, url)
        assert _is_refused("DELETE", video)
        assert requests.get(video, timeout=scaled(10)).ok
        _read_until(run, "NATS has stopped storing messages: no space left on device")
        # It may have asked just before the disk was full.
        problem = wait_until(lambda: _problem(url), seconds=10, what="health is bad")
        assert "NATS has stopped storing messages" in problem
        disk.empty()
        _read_until(run, "NATS was restarted")
        wait_until(lambda: _post(url) == 200, seconds=30, what="requests are stored again")
        wait_until(
            lambda: requests.get(f"{url}/health", timeout=scaled(10)).status_code == 200,
            seconds=10,
            what="health is good again",
        )
        assert create_video(run, "a red circle")
        assert requests.delete(video, timeout=scaled(10)).ok
        run.process.send_signal(signal.SIGTERM)
        assert run.wait_exited() == 0, run.output
    finally:
        run.process.kill()
        run.process.wait()


def _read_until(run: Run, text: str) -> None:
    assert run.process.stdout
    for line in run.process.stdout:
        run.lines.append(line)
        if text in line:
            return
    pytest.fail(f"ended before it printed {text!r}:\n{run.output}")
