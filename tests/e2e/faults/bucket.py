"""Reads the bucket without Kinora's code, and checks the files of videos."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import av

from tests.e2e.faults.history import History

BUCKET: Final = "kinora"
RECORD: Final = "completed.json"
FILES: Final = frozenset({"video.mp4", "thumbnail.jpg", "spritesheet.jpg", RECORD})
# The functions write it to learn whether the store takes writes.
CHECK: Final = ".kinora/write-check"


class Bucket:
    """All objects of the bucket, grouped by video."""

    def __init__(self, client: Any) -> None:
        """List the bucket with the boto3 client `client`."""
        self._client = client
        self.keys: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for item in page.get("Contents", []):
                if item["Key"] == CHECK:
                    continue
                account, video_id, _ = item["Key"].split("/", 2)
                self.keys[account, video_id].add(item["Key"])

    def expected(self, history: History) -> set[str]:
        """The objects that a video in this state must have."""
        final = history.final
        if final is None or final.name != "completed":
            return set()
        return {final.data["output"]["prefix"] + name for name in FILES}

    def orphans(self, history: History) -> set[str]:
        """The objects that belong to the video but are not expected."""
        return self.keys[history.key] - self.expected(history)

    def check(self, history: History, fields: dict[str, Any] | None) -> Iterator[str]:
        """Yield the violations of the objects of a video that was requested with `fields`."""
        if orphans := self.orphans(history):
            yield f"is {history.state} but has the objects {sorted(orphans)}"
        if missing := self.expected(history) - self.keys[history.key]:
            yield f"is completed but lacks the objects {sorted(missing)}"
        elif history.final is not None and history.state == "completed":
            yield from self._check_video(history.final.data, fields or {})

    def _check_video(self, data: dict[str, Any], fields: dict[str, Any]) -> Iterator[str]:
        output = data["output"]
        record = self._client.get_object(Bucket=BUCKET, Key=output["prefix"] + RECORD)["Body"]
        if json.loads(record.read())["data"] != data:
            yield "has a record that is not its event"
        key = output["prefix"] + "video.mp4"
        content = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        announced = (output["bytes"], output["sha256"])
        found = (len(content), hashlib.sha256(content).hexdigest())
        if announced != found:
            yield f"has size and digest {found}, but the event says {announced}"
        with av.open(io.BytesIO(content), mode="r") as container:
            frames = list(container.decode(video=0))
        shape = (len(frames), f"{frames[0].width}x{frames[0].height}")
        requested = (fields.get("num_frames", shape[0]), fields.get("size", shape[1]))
        described = (output["frames"], f"{output['width']}x{output['height']}")
        if not shape == described == requested:
            yield f"has the shape {shape}, but the event says {described}; requested: {requested}"
