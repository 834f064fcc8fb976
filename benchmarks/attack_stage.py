"""The stack that attacks are made on: two accounts of attackers, and one of an innocent caller."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import boto3
import psutil
import requests
from botocore.config import Config

from benchmarks.feeds import LARGE, LARGE_VIDEOS
from functions.shared.streams.cloudevents import STRUCTURED
from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import VIDEOS, VideoKey
from tests.accounts import write_accounts
from tests.harness import RunningStack, is_stopped
from tests.patience import wait_until
from tests.small_disk import SmallDisk

INNOCENT: Final = "innocent"
# Two, because one account may open half of the event streams only.
ATTACKERS: Final = ("mallory", "trudy")
# Rendering must not take time from the functions: in a cluster it has machines of its own.
_LOWEST_PRIORITY: Final = ("nice", "-n", "19")
_WORKERS: Final = ("generate-1", "generate-2")
_RENDERING: Final = ("dispatch", "activator", *_WORKERS)
_SMALL: Final[dict[str, Any]] = {"size": "32x32", "num_frames": 7, "num_inference_steps": 2}
_LARGE_FILE_BYTES: Final = 16 << 20
# For the attackers' own requests.
_TIMEOUT_SECONDS: Final = 60.0


def _key(account: str) -> str:
    return f"key-of-{account}"


def _headers(account: str) -> dict[str, str]:
    return {"authorization": f"Bearer {_key(account)}"}


class Stage:
    """A stack on free ports, with its data below `folder`. It makes no videos until it is told to.

    Attributes:
        stack: the processes.
        disk: the disk of NATS, if it has one of its own.
        completed_video: a video of the attackers that can be downloaded, once there is one.
    """

    def __init__(self, folder: Path) -> None:
        accounts = {_key(account): account for account in (INNOCENT, *ATTACKERS)}
        file = write_accounts(folder / "accounts", accounts)
        self.stack: Final = RunningStack(folder / "stack", {"ACCOUNTS_FILE": file})
        for name in _WORKERS:
            worker = self.stack.table[name]
            self.stack.table[name] = replace(worker, argv=[*_LOWEST_PRIORITY, *worker.argv])
        self.disk: SmallDisk | None = None
        self.completed_video = ""
        self._notes: list[str] = []

    @property
    def url(self) -> str:
        """Of the videos, at the gateway."""
        return f"{self.stack.url}/v1/videos"

    @property
    def innocent_key(self) -> str:
        """The API key of the innocent caller."""
        return _key(INNOCENT)

    @property
    def notes(self) -> str:
        """What was noted, for the table."""
        return "; ".join(self._notes)

    def note(self, text: str) -> None:
        """Add something to the notes."""
        self._notes.append(text)

    def port(self, name: str) -> int:
        """The port of a process."""
        return self.stack.stack.ports[name]

    def headers(self, number: int = 0) -> dict[str, str]:
        """What authenticates the attackers, in turn."""
        return _headers(ATTACKERS[number % len(ATTACKERS)])

    def request(
        self, method: str, path: str, account: str = ATTACKERS[0], **fields: Any
    ) -> requests.Response:
        """Send a request of an account, by default of the first attacker."""
        return requests.request(
            method, self.url + path, headers=_headers(account), timeout=_TIMEOUT_SECONDS, **fields
        )

    def create(self) -> str:
        """Request a small video; returns its id."""
        answer = self.request("POST", "", json={"prompt": "a red circle", **_SMALL})
        answer.raise_for_status()
        video_id: str = answer.json()["id"]
        return video_id

    def start(self) -> None:
        """Start everything that answers callers."""
        self.stack.start_servers()
        self.stack.start("submit", "status", "gateway")

    def start_rendering(self) -> None:
        """Start what makes videos."""
        self.stack.start(*_RENDERING)

    def complete_a_video(self) -> None:
        """Make a video that can be downloaded, and stop rendering."""
        self.start_rendering()
        video_id = self.create()
        wait_until(
            lambda: self.request("GET", f"/{video_id}").json()["status"] == "completed",
            seconds=60,
            what="a video is completed",
        )
        for name in _RENDERING:
            self.stack.kill(name)
        self.completed_video = video_id

    def enlarge_the_file(self, size: int = _LARGE_FILE_BYTES) -> None:
        """Make its file, by default, larger than all buffers on the way to a caller."""
        credentials = self.stack.credentials
        store = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port('s3')}",
            region_name="us-east-1",
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        listed = store.list_objects_v2(Bucket="kinora", Prefix=f"{ATTACKERS[0]}/")["Contents"]
        (name,) = (item["Key"] for item in listed if item["Key"].endswith("/video.mp4"))
        store.put_object(Bucket="kinora", Key=name, Body=bytes(size))
        self._tell_size(size)

    def _tell_size(self, size: int) -> None:
        """Change the size of the file in the event that completed the video."""
        key = VideoKey(ATTACKERS[0], self.completed_video)
        with closing(JetStream(f"nats://127.0.0.1:{self.port('nats')}")) as bus:
            message = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
            assert message is not None
            event = json.loads(message.data)
            event["data"]["output"]["bytes"] = size
            bus.publish(
                message.subject,
                json.dumps(event).encode(),
                expected=message.seq,
                expected_filter=key.events_filter,
                headers={"content-type": STRUCTURED},
            )

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A server that accepts connections, and answers nothing."""
        process = psutil.Process(self.stack.running[name].pid)
        process.suspend()
        try:
            wait_until(lambda: is_stopped(process.pid), seconds=10, what=f"{name} stops")
            yield
        finally:
            process.resume()

    def request_large_videos(self) -> None:
        """Request videos whose events have 40 kB each."""
        for _ in range(LARGE_VIDEOS):
            self.request("POST", "", json={**LARGE, **_SMALL}).raise_for_status()

    @contextmanager
    def memory_growth(self, name: str, when: str) -> Iterator[None]:
        """Note by how much the memory of a function grows in the block, at most."""
        process = psutil.Process(self.stack.worker_pid(name))
        before = peak = process.memory_info().rss
        ended = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not ended.wait(0.1):
                peak = max(peak, process.memory_info().rss)

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield
        finally:
            ended.set()
            sampler.join()
        self.note(f"{name} +{(peak - before) / 2**20:.0f} MiB {when}")
