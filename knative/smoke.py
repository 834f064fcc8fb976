"""Renders videos through a gateway, checks the files, and shows replicas: `make smoke URL=...`.

URL        the gateway
VIDEOS     the number of videos, rendered at the same time (4, the maximum of replicas)
NAMESPACE  the namespace in which kubectl, if it is installed, counts replicas (kinora)
KEY        an API key, if the gateway requires one
SECONDS    the time limit (1800)
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any

TERMINAL = {"completed", "failed"}
POLL_INTERVAL = 2.0
# A gateway that has answered before is retried for this long; replacing a pod takes less.
RETRY_SECONDS = 60.0
UNAVAILABLE = {502, 503, 504}
# The order of boxes in an mp4 that plays while it loads: type, index, frames.
BOXES = [b"ftyp", b"moov", b"mdat"]


class Failed(Exception):
    """The smoke test failed; the message says why."""


class Gateway:
    """A client of the public API."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._last_answer = float("-inf")

    def request(self, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """GET `path`, or POST `body` to it; retried if a gateway that has answered is unavailable.

        Raises:
            Failed: the gateway can't be reached, or responds with an error.
        """
        # The idempotency key makes a POST safe to retry.
        headers = {"content-type": "application/json", "idempotency-key": uuid.uuid4().hex}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers | headers)  # noqa: S310 - the operator's URL
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - same
                    content = bytes(response.read())
            except urllib.error.HTTPError as error:
                problem = Failed(f"{path}: {error.code} {error.read()[:300].decode()}")
                if error.code not in UNAVAILABLE:
                    raise problem from error
            except (OSError, http.client.HTTPException) as error:
                problem = Failed(f"{self._url}{path}: {error}")
            else:
                self._last_answer = time.monotonic()
                return content
            if time.monotonic() - self._last_answer > RETRY_SECONDS:
                raise problem
            print(f"{problem}; retrying", file=sys.stderr, flush=True)
            time.sleep(POLL_INTERVAL)


def check_file(data: bytes, output: Mapping[str, Any]) -> None:
    """Check that a file matches its size and checksum in the API, and is an mp4 that plays.

    Raises:
        Failed: it does not match, or can't play while it loads.
    """
    if len(data) != output["bytes"] or hashlib.sha256(data).hexdigest() != output["sha256"]:
        raise Failed(f"the file ({len(data)} bytes) does not match its size or checksum: {output}")
    boxes, place = [], 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        boxes.append(data[place + 4 : place + 8])
        if size < 8:  # noqa: PLR2004 - the size of a box's header
            raise Failed(f"the mp4 is broken at byte {place}")
        place += size
    if place != len(data) or [box for box in boxes if box in BOXES] != BOXES:
        raise Failed(f"the file is not an mp4 that plays while it loads: {boxes}")


def replicas(namespace: str) -> str:
    """The number of ready replicas of `generate`, and others if any; '?' without kubectl."""
    if shutil.which("kubectl") is None:
        return "?"
    label = "serving.knative.dev/service=generate"
    done = subprocess.run(
        ["kubectl", "-n", namespace, "get", "pods", "-l", label, "-o", "json"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if done.returncode:
        return "?"
    pods = json.loads(done.stdout)["items"]
    kept = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    ready = sum(map(is_ready, kept))
    others = {"not ready": len(kept) - ready, "terminating": len(pods) - len(kept)}
    return f"{ready}" + "".join(f", {count} {what}" for what, count in others.items() if count)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod accepts requests; one that waits for a GPU does not."""
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def wait_for_videos(
    gateway: Gateway, videos: list[dict[str, Any]], *, namespace: str, limit: float
) -> list[dict[str, Any]]:
    """Poll the videos until all are completed or failed, and print a table of the states.

    Raises:
        Failed: some are not finished after `limit` seconds.
    """
    started = time.monotonic()
    print("| Seconds | Queued | In progress | Finished | Replicas |\n|---|---|---|---|---|")
    shown = ""
    while True:
        videos = [json.loads(gateway.request(f"/v1/videos/{video['id']}")) for video in videos]
        states = [video["status"] for video in videos]
        counts = [states.count("queued"), states.count("in_progress")]
        counts.append(sum(state in TERMINAL for state in states))
        elapsed = time.monotonic() - started
        row = " | ".join([*map(str, counts), replicas(namespace)])
        if row != shown:
            print(f"| {elapsed:.0f} | {row} |", flush=True)
            shown = row
        if counts[-1] == len(videos):
            return videos
        if elapsed > limit:
            raise Failed(f"not finished after {limit:.0f} s: {states}")
        time.sleep(POLL_INTERVAL)


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Request the videos, wait until all are rendered, and check their files.

    Raises:
        Failed: a setting is missing, or the gateway, a video or its file is not as expected.
    """
    if not environ.get("URL"):
        raise Failed("set URL, such as URL=http://ui.kinora.127.0.0.1.sslip.io:8080")
    gateway = Gateway(environ["URL"], environ.get("KEY"))
    count = int(environ.get("VIDEOS") or 4)
    body = {"prompt": "a red circle moving right"}
    requested = [json.loads(gateway.request("/v1/videos", body)) for _ in range(count)]
    finished = wait_for_videos(
        gateway,
        requested,
        namespace=environ.get("NAMESPACE") or "kinora",
        limit=float(environ.get("SECONDS") or 1800),
    )
    for video in finished:
        if video["status"] != "completed":
            raise Failed(f"{video['id']}: {video['error']}")
        check_file(gateway.request(f"/v1/videos/{video['id']}/content"), video["output"])
    print(f"All {count} videos were rendered, and their files are intact.")


if __name__ == "__main__":
    try:
        main()
    except Failed as problem:
        sys.exit(f"smoke: {problem}")
