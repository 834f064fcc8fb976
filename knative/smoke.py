"""Makes videos at a gateway, checks the files, and shows the replicas: `make smoke URL=...`.

URL       the gateway
VIDEOS    how many at once (4: as many as there may be replicas)
NAMESPACE where to count replicas with kubectl, if there is one (kinora)
KEY       an API key, where the gateway asks for one
SECONDS   how long it may take (1800)
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

ENDED = {"completed", "failed"}
PAUSE = 2.0
# How long a gateway that has answered before may be away: a pod is replaced in less.
PATIENCE = 60.0
AWAY = {502, 503, 504}
# Of an mp4 that plays while it loads: what it is, how it is laid out, and then the frames.
BOXES = [b"ftyp", b"moov", b"mdat"]


class Failed(Exception):
    """Something is not as it should be; the message says what."""


class Gateway:
    """The public API."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._answered_at = float("-inf")

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """GET `path`, or POST `body` there; again, if a gateway that was there is away.

        Raises:
            Failed: there is no answer, or an error.
        """
        # The key makes a POST safe to repeat.
        headers = {"content-type": "application/json", "idempotency-key": uuid.uuid4().hex}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers | headers)  # noqa: S310 - what the operator gave
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
                    found = bytes(answer.read())
            except urllib.error.HTTPError as error:
                problem = Failed(f"{path}: {error.code} {error.read()[:300].decode()}")
                if error.code not in AWAY:
                    raise problem from error
            except (OSError, http.client.HTTPException) as error:
                problem = Failed(f"{self._url}{path}: {error}")
            else:
                self._answered_at = time.monotonic()
                return found
            if time.monotonic() - self._answered_at > PATIENCE:
                raise problem
            print(f"{problem}; asking again", file=sys.stderr, flush=True)
            time.sleep(PAUSE)


def check_file(data: bytes, output: Mapping[str, Any]) -> None:
    """Compare a file with what the API says about it, and look whether it is an mp4.

    Raises:
        Failed: it is another file, or none that plays.
    """
    if len(data) != output["bytes"] or hashlib.sha256(data).hexdigest() != output["sha256"]:
        raise Failed(f"the file has {len(data)} bytes and is not the one that was made: {output}")
    boxes, place = [], 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        boxes.append(data[place + 4 : place + 8])
        if size < 8:  # noqa: PLR2004 - a box's own header
            raise Failed(f"the mp4 is broken at byte {place}")
        place += size
    if place != len(data) or [box for box in boxes if box in BOXES] != BOXES:
        raise Failed(f"the file is no mp4 that plays while it loads: {boxes}")


def replicas(namespace: str) -> str:
    """How many replicas of `generate` are ready, as text; '?' where kubectl can't tell."""
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
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    ready = sum(map(is_ready, staying))
    others = {"not ready": len(staying) - ready, "leaving": len(pods) - len(staying)}
    return f"{ready}" + "".join(f", {count} {what}" for what, count in others.items() if count)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether requests may go to it: a pod that waits for a GPU makes no video."""
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Make the videos and wait for all of them."""
    if not environ.get("URL"):
        raise Failed("set URL, such as URL=http://ui.kinora.127.0.0.1.sslip.io:8080")
    gateway = Gateway(environ["URL"], environ.get("KEY"))
    namespace = environ.get("NAMESPACE") or "kinora"
    begun = time.monotonic()
    count = int(environ.get("VIDEOS") or 4)
    limit = float(environ.get("SECONDS") or 1800)
    body = {"prompt": "a red circle moving right"}
    videos = [json.loads(gateway.ask("/v1/videos", body)) for _ in range(count)]
    print("| Seconds | Queued | In progress | Ended | Replicas |\n|---|---|---|---|---|")
    line = ""
    while True:
        videos = [json.loads(gateway.ask(f"/v1/videos/{video['id']}")) for video in videos]
        states = [video["status"] for video in videos]
        counts = [states.count("queued"), states.count("in_progress")]
        counts.append(sum(state in ENDED for state in states))
        news = " | ".join([*map(str, counts), replicas(namespace)])
        if news != line:
            print(f"| {time.monotonic() - begun:.0f} | {news} |", flush=True)
            line = news
        if counts[-1] == count:
            break
        if time.monotonic() - begun > limit:
            raise Failed(f"not done after {limit:.0f} s: {states}")
        time.sleep(PAUSE)
    for video in videos:
        if video["status"] != "completed":
            raise Failed(f"{video['id']}: {video['error']}")
        check_file(gateway.ask(f"/v1/videos/{video['id']}/content"), video["output"])
    print(f"{count} videos were made and are whole.")


if __name__ == "__main__":
    try:
        main()
    except Failed as problem:
        sys.exit(f"smoke: {problem}")
