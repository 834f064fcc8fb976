"""Component schemas of requests (within a model's limits), responses and events."""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic import TypeAdapter

from functions.shared.api.event_schemas import INVISIBLE, Untitled, schema_of
from functions.shared.api.openapi.operation import Json, ref
from functions.shared.api.response_bodies import (
    DeletedVideo,
    Error,
    Model,
    ModelList,
    VideoEnded,
    VideoList,
)
from functions.shared.api.video_schema import Video
from functions.shared.video.events import EventName
from functions.shared.video.limits import SECONDS
from functions.shared.video.profiles import FRAMES_PER_LATENT, Profile, RealSpan, Span
from functions.shared.video.requests import RemixRequest, VideoRequest

REFERENCES: Final = "#/components/schemas/{model}"
BODIES: Final[dict[str, Any]] = {
    "Video": Video,
    "VideoList": VideoList,
    "DeletedVideo": DeletedVideo,
    "Model": Model,
    "ModelList": ModelList,
    "Error": Error,
    "VideoEnded": VideoEnded,
}


def schemas(profile: Profile) -> Json:
    """Every component schema, by name."""
    found: Json = {
        "CreateVideo": create_video(profile),
        "CreateVideoForm": as_form(create_video(profile)),
        "RemixVideo": remix_video(),
        "RemixVideoForm": as_form(remix_video()),
    }
    inputs = [(name, "validation", TypeAdapter(model)) for name, model in BODIES.items()]
    by_name, definitions = TypeAdapter.json_schemas(
        cast("Any", inputs), ref_template=REFERENCES, schema_generator=Untitled
    )
    found |= definitions.get("$defs", {})
    for (name, _), schema in by_name.items():
        found.setdefault(name, schema)
    return found | _events()


def create_video(profile: Profile) -> Json:
    """The body of `POST /v1/videos` in JSON, within the limits of `profile`."""
    schema = VideoRequest.model_json_schema(schema_generator=Untitled)
    fields = schema["properties"]
    # null is the same as absent, so the limits apply to the other branch.
    branches = {name: field.get("anyOf", [field])[0] for name, field in fields.items()}
    for name in ("width", "height", "fps", "num_inference_steps", "guidance_scale"):
        span: Span | RealSpan = getattr(profile, name)
        branches[name] |= {"minimum": span.min, "maximum": span.max}
        if isinstance(span, Span) and span.multiple > 1:
            branches[name]["multipleOf"] = span.multiple
        fields[name]["default"] = span.default
    first = profile.num_frames.min + (1 - profile.num_frames.min) % FRAMES_PER_LATENT
    branches["num_frames"]["enum"] = list(
        range(first, profile.num_frames.max + 1, FRAMES_PER_LATENT)
    )
    fields["num_frames"]["default"] = profile.num_frames.default
    branches["seconds"]["pattern"] = f"^{SECONDS}$"
    branches["prompt"]["pattern"] = f"[^{INVISIBLE}]"
    fields["size"]["examples"] = list(profile.sizes)
    schema["description"] += (
        f" `size` is an alternative to `width` and `height`, whose product is at most "
        f"{profile.max_pixels}; `seconds` is an alternative to `num_frames`."
    )
    return schema


def remix_video() -> Json:
    """The body of `POST /v1/videos/{id}/remix` in JSON."""
    schema = RemixRequest.model_json_schema(schema_generator=Untitled)
    schema["properties"]["prompt"]["pattern"] = f"[^{INVISIBLE}]"
    return schema


def as_form(schema: Json) -> Json:
    """The same body as a form: values are text, and null does not exist."""
    for field in schema["properties"].values():
        options = [option for option in field.pop("anyOf", []) if option != {"type": "null"}]
        # `seconds` may be text or a number; in a form, everything is text.
        field.update(options[0] if options else {})
        if field.get("default", 0) is None:
            del field["default"]
    schema["description"] += " In a form, metadata is sent as fields `metadata[name]`."
    return schema


def _events() -> Json:
    """Each event (`RequestedEvent`, ...), and `Event` for any of them."""
    found: Json = {}
    for name in EventName:
        schema = schema_of(name, REFERENCES)
        found |= schema.pop("$defs", {})
        for keyword in ("$schema", "$id"):
            del schema[keyword]
        found[f"{name.capitalize()}Event"] = schema
    # The body of an event in binary mode is its data alone.
    requested = found["RequestedEvent"]["properties"]
    found["Requested"] = requested["data"]
    requested["data"] = ref("schemas", "Requested")
    # The format is not enforced.
    del requested["source"]["format"]
    found["Event"] = {
        "description": "A CloudEvent in structured mode.",
        "oneOf": [ref("schemas", f"{name.capitalize()}Event") for name in EventName],
    }
    return found
