"""Invalid requests, such as a system that does not know Kinora's rules might publish."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

TYPE: Final = "dev.kinora.video.requested.v1"
STRUCTURED: Final = {"content-type": "application/cloudevents+json"}
SMALLEST: Final[dict[str, Any]] = {"size": "32x32", "num_frames": 7, "num_inference_steps": 2}


@dataclass(frozen=True)
class Poison:
    """One message. If `dropped`, its subject has no valid id, so it never becomes a video."""

    name: str
    payload: bytes
    headers: dict[str, str] | None = None
    # The id token of the subject; {} is replaced by a valid id.
    token: str = "{}"  # noqa: S105 - a token of a subject
    dropped: bool = False


def event(data: object, **attributes: object) -> bytes:
    """A CloudEvent that requests a video, in structured mode."""
    document = {"specversion": "1.0", "type": TYPE, "source": "/other", "id": "1", "data": data}
    return json.dumps({**document, **attributes}).encode()


_VALID: Final = event({"prompt": "odd", **SMALLEST})

POISONS: Final = (
    Poison("empty", b""),
    Poison("garbage", bytes(range(256))),
    Poison("not an object", b"[1, 2, 3]"),
    Poison("very deep nesting", b"[" * 50_000),
    Poison("a number of ten thousand digits", b'{"specversion": ' + b"9" * 10_000 + b"}"),
    Poison("no prompt", event({})),
    Poison("data of the wrong type", event("a red circle")),
    Poison("prompt of the wrong type", event({"prompt": {"text": "x"}})),
    Poison("a lone surrogate", event({"prompt": "\ud800"})),
    Poison("a prompt that is too long", event({"prompt": "x" * 5_000})),
    Poison("an event that is too large", event({"prompt": "x" * 200_000})),
    Poison("numbers of the wrong type", event({"prompt": "x", "num_frames": "many"})),
    Poison(
        "not a number",
        b'{"specversion":"1.0","type":"' + TYPE.encode() + b'","source":"/o",'
        b'"id":"1","data":{"prompt":"x","guidance_scale":NaN}}',
    ),
    Poison("a size that Mochi does not support", event({"prompt": "x", "size": "33x7"})),
    Poison("a future type version", event({"prompt": "x"}, type="dev.kinora.video.requested.v9")),
    Poison("another specversion", event({"prompt": "x"}, specversion="0.3")),
    Poison("an id that is not a string", event({"prompt": "x"}, id=7)),
    Poison("an invalid time", event({"prompt": "x"}, time="yesterday")),
    Poison(
        "a batch",
        b"[" + event({"prompt": "x"}) + b"]",
        {"content-type": "application/cloudevents-batch+json"},
    ),
    Poison("binary mode without a type", b'{"prompt": "x"}', {"ce-specversion": "1.0"}),
    Poison("a wildcard as the id", _VALID, STRUCTURED, "{}*", dropped=True),
    Poison("an id with an encoded space", _VALID, STRUCTURED, "{}%20x", dropped=True),
    Poison("an id that is not ASCII", _VALID, STRUCTURED, "{}é", dropped=True),
    Poison("an id that is too long", _VALID, STRUCTURED, "{}" + "x" * 64, dropped=True),
)
