"""Component schemas of requests (within a model's limits), responses and events."""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from functions.shared.api.event_schemas import INVISIBLE, Concise, schema_of
from functions.shared.api.openapi.operation import Json, ref
from functions.shared.api.parameters import EVENT_ID
from functions.shared.api.response_bodies import (
    DeletedVideo,
    ErrorResponse,
    Health,
    Model,
    ModelList,
    UsageList,
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
    "UsageList": UsageList,
    # `Error` would hide the class of that name in generated TypeScript.
    "ErrorResponse": ErrorResponse,
    "Health": Health,
    "VideoEnded": VideoEnded,
}

# OpenAPI 3.1 can't describe the items of a stream. This describes one item, as OpenAPI 3.2 would.
STREAMED_EVENT: Final[Json] = {
    "type": "object",
    "description": "One event of the stream.",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": f"^{EVENT_ID}$"},
        "event": {"type": "string", "enum": [*(name.type for name in EventName), "reset"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": [ref("schemas", "Event"), {"maxProperties": 0}]},
        },
    },
}


class _AlwaysPresent(Concise):
    """For responses: every field is present, whether or not its model has a default."""

    def field_is_required(self, *_: Any, **__: Any) -> bool:
        """Always True."""
        return True

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Omit the default."""
        return self.generate_inner(schema["schema"])


def schemas(profile: Profile) -> Json:
    """Every component schema, by name, which is also its title: generators name types by either."""
    found: Json = {
        "CreateVideo": create_video(profile),
        "RemixVideo": remix_video(),
        # One for each encoding: generated clients choose the encoding by the type of the body.
        "CreateVideoMultipart": as_form(create_video(profile)),
        "CreateVideoUrlEncoded": as_form(create_video(profile)),
        "RemixVideoMultipart": as_form(remix_video()),
        "RemixVideoUrlEncoded": as_form(remix_video()),
    }
    inputs = [(name, "validation", TypeAdapter(model)) for name, model in BODIES.items()]
    by_name, definitions = TypeAdapter.json_schemas(
        cast("Any", inputs), ref_template=REFERENCES, schema_generator=_AlwaysPresent
    )
    found |= definitions.get("$defs", {})
    for (name, _), schema in by_name.items():
        found.setdefault(name, schema)
    found |= _events() | {"StreamedEvent": STREAMED_EVENT}
    return {name: {**schema, "title": name} for name, schema in found.items()}


def create_video(profile: Profile) -> Json:
    """The body of `POST /v1/videos` in JSON, within the limits of `profile`.

    The descriptions have the defaults. As `default`, they would make generators of clients send
    every field, and some fields are alternatives to others.
    """
    schema = VideoRequest.model_json_schema(schema_generator=Concise)
    fields = schema["properties"]
    # null is the same as absent, so the limits apply to the other branch.
    branches = {name: field.get("anyOf", [field])[0] for name, field in fields.items()}
    for name in ("width", "height", "fps", "num_inference_steps", "guidance_scale"):
        span: Span | RealSpan = getattr(profile, name)
        branches[name] |= {"minimum": span.min, "maximum": span.max}
        if isinstance(span, Span) and span.multiple > 1:
            branches[name]["multipleOf"] = span.multiple
        fields[name]["description"] += f" Default: {span.default}."
    first = profile.num_frames.min + (1 - profile.num_frames.min) % FRAMES_PER_LATENT
    branches["num_frames"]["enum"] = list(
        range(first, profile.num_frames.max + 1, FRAMES_PER_LATENT)
    )
    fields["num_frames"]["description"] += f" Default: {profile.num_frames.default}."
    branches["quality"]["enum"] = list(profile.qualities)
    branches["seconds"]["pattern"] = f"^{SECONDS}$"
    branches["prompt"]["pattern"] = f"[^{INVISIBLE}]"
    size = f"{profile.width.default}x{profile.height.default}"
    fields["size"]["description"] += f" Default: {size}."
    fields["size"]["examples"] = list(profile.sizes)
    schema["description"] = (
        "A request for a video. Only `prompt` is required; the descriptions of the other fields "
        "have their defaults. `size` is an alternative to `width` and `height`, whose product is "
        f"at most {profile.max_pixels}; `seconds` is an alternative to `num_frames`."
    )
    return schema


def remix_video() -> Json:
    """The body of `POST /v1/videos/{id}/remix` in JSON."""
    schema = RemixRequest.model_json_schema(schema_generator=Concise)
    schema["properties"]["prompt"]["pattern"] = f"[^{INVISIBLE}]"
    return schema


def as_form(schema: Json) -> Json:
    """The same body as a form: values are text, and null does not exist."""
    for field in schema["properties"].values():
        options = [option for option in field.pop("anyOf", []) if option != {"type": "null"}]
        # `seconds` may be text or a number; in a form, everything is text.
        field.update(options[0] if options else {})
    schema["description"] += " In a form, metadata is sent as fields `metadata[name]`."
    return schema


def _simplify(requested: Json) -> None:
    """Leave out what generators of clients have no type for: two ways to send the data."""
    for keyword in ("if", "then", "else"):
        del requested[keyword]
    del requested["properties"]["data_base64"]
    requested["required"].append("data")
    requested["description"] += " In place of data, data_base64 may have the same JSON in base64."
    # The format is not enforced.
    del requested["properties"]["source"]["format"]


def _events() -> Json:
    """Each event (`RequestedEvent`, ...), and `Event` for any of them."""
    found: Json = {}
    for name in EventName:
        schema = schema_of(name, REFERENCES)
        found |= schema.pop("$defs", {})
        for keyword in ("$schema", "$id"):
            del schema[keyword]
        # The data has a name of its own: alone, it is the body of an event in binary mode.
        found[name.capitalize()] = schema["properties"]["data"]
        schema["properties"]["data"] = ref("schemas", name.capitalize())
        found[f"{name.capitalize()}Event"] = schema
    _simplify(found["RequestedEvent"])
    found["Event"] = {
        "description": "A CloudEvent in structured mode.",
        "oneOf": [ref("schemas", f"{name.capitalize()}Event") for name in EventName],
    }
    return found
