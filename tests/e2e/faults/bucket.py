"""The bucket as a stranger reads it: what lies there, and whether it is the video."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import av

from tests.e2e.faults.histories import History

BUCKET: Final = "kinora"
FILES: Final = frozenset({"video.mp4", "thumbnail.jpg", "spritesheet.jpg"})


class Bucket:
    """All objects, by the video that they belong to."""

    def __init__(self, client: Any) -> None:
        """List the bucket with a boto3 client."""
        self._client = client
        self.keys: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for item in page.get("Contents", []):
                account, video_id, _ = item["Key"].split("/", 2)
                self.keys[account, video_id].add(item["Key"])

    def needed(self, history: History) -> set[str]:
        """The objects that a video in this state has."""
        final = history.final
        if final is None or final.name != "completed":
            return set()
        return {final.data["output"]["prefix"] + name for name in FILES}

    def orphans(self, history: History) -> set[str]:
        """The objects that nobody needs any more."""
        return self.keys[history.key] - self.needed(history)

    def check(self, history: History, fields: dict[str, Any] | None) -> Iterator[str]:
        """Say what is wrong with the objects of a video that asked for `fields`."""
        if orphans := self.orphans(history):
            yield f"is {history.state}, and has {sorted(orphans)}"
        if missing := self.needed(history) - self.keys[history.key]:
            yield f"is completed without {sorted(missing)}"
        elif history.final is not None and history.state == "completed":
            yield from self._check_video(history.final.data, fields or {})

    def _check_video(self, data: dict[str, Any], fields: dict[str, Any]) -> Iterator[str]:
        output = data["output"]
        key = output["prefix"] + "video.mp4"
        content = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        said = (output["bytes"], output["sha256"])
        found = (len(content), hashlib.sha256(content).hexdigest())
        if said != found:
            yield f"is said to have {said}, and has {found}"
        with av.open(io.BytesIO(content), mode="r") as container:
            pictures = list(container.decode(video=0))
        shape = (len(pictures), f"{pictures[0].width}x{pictures[0].height}")
        asked = (fields.get("num_frames", shape[0]), fields.get("size", shape[1]))
        told = (output["frames"], f"{output['width']}x{output['height']}")
        if not shape == told == asked:
            yield f"has {shape}, is said to have {told}, and was to have {asked}"
