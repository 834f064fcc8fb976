"""The component schemas: of requests within a model's limits, of answers, of events."""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic import TypeAdapter

from functions.shared.api.answers import DeletedVideo, Error, ModelList, VideoEnded, VideoList
from functions.shared.api.event_schemas import BLANK, Untitled, schema_of
from functions.shared.api.openapi.operation import Json, ref
from functions.shared.api.video_object import Video
from functions.shared.video.events import EventName
from functions.shared.video.limits import SECONDS
from functions.shared.video.profiles import FRAMES_PER_LATENT, Profile, RealSpan, Span
from functions.shared.video.requests import RemixRequest, VideoRequest

REFERENCES: Final = "#/components/schemas/{model}"
ANSWERS: Final[dict[str, Any]] = {
    "Video": Video,
    "VideoList": VideoList,
    "DeletedVideo": DeletedVideo,
    "ModelList": ModelList,
    "Error": Error,
    "VideoEnded": VideoEnded,
}


def schemas(profile: Profile) -> Json:
    """Every component schema, by its name."""
    found: Json = {
        "CreateVideo": create_video(profile),
        "CreateVideoForm": as_form(create_video(profile)),
        "RemixVideo": remix_video(),
        "RemixVideoForm": as_form(remix_video()),
    }
    inputs = [(name, "validation", TypeAdapter(model)) for name, model in ANSWERS.items()]
    by_name, definitions = TypeAdapter.json_schemas(
        cast("Any", inputs), ref_template=REFERENCES, schema_generator=Untitled
    )
    found |= definitions.get("$defs", {})
    for (name, _), schema in by_name.items():
        found.setdefault(name, schema)
    return found | _events()


def create_video(profile: Profile) -> Json:
    """The body of `POST /v1/videos` in JSON, within what the model of `profile` can make."""
    schema = VideoRequest.model_json_schema(schema_generator=Untitled)
    fields = schema["properties"]
    # A field of null is one that was not sent.
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
    branches["prompt"]["pattern"] = f"[^{BLANK}]"
    fields["size"]["examples"] = list(profile.sizes)
    schema["description"] += (
        f" `size` says the same as `width` and `height`, of which the product is at most "
        f"{profile.max_pixels}; `seconds` at `fps` says the same as `num_frames`."
    )
    return schema


def remix_video() -> Json:
    """The body of `POST /v1/videos/{id}/remix` in JSON."""
    schema = RemixRequest.model_json_schema(schema_generator=Untitled)
    schema["properties"]["prompt"]["pattern"] = f"[^{BLANK}]"
    return schema


def as_form(schema: Json) -> Json:
    """The same as a form: values are text, and what is not sent has no field."""
    for field in schema["properties"].values():
        options = [option for option in field.pop("anyOf", []) if option != {"type": "null"}]
        # Text, as `seconds` may be too, is what a form has anyway.
        field.update(options[0] if options else {})
        if field.get("default", 0) is None:
            del field["default"]
    schema["description"] += " In a form, pairs of metadata are fields `metadata[name]`."
    return schema


def _events() -> Json:
    """An event of each type as `RequestedEvent` and so on, and `Event` for any of them."""
    found: Json = {}
    for name in EventName:
        schema = schema_of(name, REFERENCES)
        found |= schema.pop("$defs", {})
        for keyword in ("$schema", "$id"):
            del schema[keyword]
        found[f"{name.capitalize()}Event"] = schema
    # The data alone is the body of an event in binary mode.
    requested = found["RequestedEvent"]["properties"]
    found["Requested"] = requested["data"]
    requested["data"] = ref("schemas", "Requested")
    # Publishers should keep to it, and are not refused if they don't.
    del requested["source"]["format"]
    found["Event"] = {
        "description": "A CloudEvent in structured mode.",
        "oneOf": [ref("schemas", f"{name.capitalize()}Event") for name in EventName],
    }
    return found
