"""JSON Schemas of Kinora's events, generated from the models in `functions.shared.video.events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from functions.shared import request_ids, subjects
from functions.shared.streams.cloudevent_attributes import MAX_ATTRIBUTE
from functions.shared.streams.validation import MAX_EVENT_BYTES
from functions.shared.video.events import DATA_OF, EventName
from functions.shared.video.visible_text import has_visible_text

TOKEN: Final = f"^{subjects.TOKEN}$"
# The invisible characters, literally: `\s` and `\p` differ between regex dialects. Without those of
# several UTF-16 units, which some dialects read as several characters, and without such units.
_SURROGATES: Final = range(0xD800, 0xE000)
INVISIBLE: Final = "".join(
    chr(code)
    for code in range(0x10000)
    if code not in _SURROGATES and not has_visible_text(chr(code))
)

# Rules that the schema can't express, most of them because they depend on the deployed model.
_PROFILE: Final = "For the limits and the default of the deployed model, see `GET /v1/models`."
NOTES: Final = {
    "prompt": "At least one visible character.",
    "size": f"If width or height is given too, it must agree. {_PROFILE}",
    "width": _PROFILE,
    "height": _PROFILE,
    "seconds": (
        "A number, or the same as text: digits, with up to six decimals. Without num_frames, the "
        "resulting num_frames must be 6k+1, within the limits of the deployed model."
    ),
    "num_frames": _PROFILE,
    "fps": _PROFILE,
    "num_inference_steps": _PROFILE,
    "guidance_scale": _PROFILE,
    "quality": "`GET /v1/models` has the qualities of the deployed model.",
    "request_hash": "Other publishers omit it.",
}
_REQUEST_RULES: Final = (
    " Extension attributes are allowed."
    f" The event may have at most {MAX_EVENT_BYTES} bytes."
    " Integers must be written without a fraction (848, not 848.0)."
)
_STATE_RULE: Final = " Self-contained: the newest event of a video is its whole state."


# The types that CloudEvents has for an attribute (section 2.1); JSON null is the same as absent.
_EXTENSION: Final = {"type": ["string", "integer", "boolean", "null"]}
# Data are sent once. Null is no data, so with `data_base64` they must be absent.
_EITHER_DATA: Final = {
    "if": {"required": ["data_base64"], "properties": {"data_base64": {"type": "string"}}},
    "then": {"properties": {"data": {"type": "null"}}},
    "else": {"required": ["data"], "properties": {"data": {"type": "object"}}},
}


@dataclass(frozen=True)
class EventInfo:
    """What an event means, and which functions publish it; the event's model has neither."""

    publisher: str
    meaning: str


EVENT_INFO: Final = {
    EventName.REQUESTED: EventInfo(
        "`submit`, or any system with permission to publish", "A video is requested."
    ),
    EventName.STARTED: EventInfo("`generate`", "A worker has claimed the video."),
    EventName.PROGRESSED: EventInfo(
        "`generate`", "The worker reports progress, or releases the video."
    ),
    EventName.COMPLETED: EventInfo("`generate`", "The video's files are in the object store."),
    EventName.FAILED: EventInfo("`generate` or `dispatch`", "The video failed, and why."),
    EventName.CANCELLED: EventInfo("`submit`", "The video was cancelled before it completed."),
    EventName.DELETED: EventInfo("`submit`", "The video and its files were deleted."),
}


class Concise(GenerateJsonSchema):
    """Omits titles that only repeat the name of their field, and null as a default."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's name
        """Always False."""
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Omit null: it stands for a field that is absent, and generated clients would send it."""
        found = super().default_schema(schema)
        return {k: v for k, v in found.items() if (k, v) != ("default", None)}


def subject_of(name: EventName) -> str:
    """The NATS subject on which the event is published."""
    if name is EventName.REQUESTED:
        return "kinora.requests.<account>.<id>"
    return f"kinora.videos.<account>.<id>.{name}"


def schema_of(name: EventName, references: str = "#/$defs/{model}") -> dict[str, Any]:
    """The schema of the event in structured mode; `references` is the form of its `$ref`s."""
    data = DATA_OF[name].model_json_schema(schema_generator=Concise, ref_template=references)
    definitions = data.pop("$defs", None)
    if name is EventName.REQUESTED:
        envelope, rules = _open_envelope(), _REQUEST_RULES
        _add_notes(data["properties"])
    else:
        envelope, rules = _own_envelope(), _STATE_RULE
    info = EVENT_INFO[name]
    envelope["type"] = {"type": "string", "const": name.type}
    optional = {request_ids.EXTENSION}
    if name is EventName.REQUESTED:
        optional |= {"subject", "time", "datacontenttype", "account", "data_base64"}
    required = [attribute for attribute in envelope if attribute not in optional]
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:kinora:event-schemas:v1:{name}",
        "title": name.type,
        "description": f"{info.meaning} A CloudEvent, published on {subject_of(name)}.{rules}",
        "type": "object",
        "required": required,
        "properties": {**envelope, "data": data},
        "additionalProperties": _EXTENSION if name is EventName.REQUESTED else True,
    }
    if name is EventName.REQUESTED:
        schema |= _EITHER_DATA
    else:
        required.append("data")
    return schema if definitions is None else {**schema, "$defs": definitions}


def _add_notes(fields: dict[str, Any]) -> None:
    fields["prompt"]["pattern"] = f"[^{INVISIBLE}]"
    for field, note in NOTES.items():
        fields[field]["description"] += f" {note}"


def _open_envelope() -> dict[str, Any]:
    """The attributes of an event from any publisher; JSON null is the same as absent."""
    return {
        "specversion": {"type": "string", "const": "1.0"},
        "id": _attribute("With source, it identifies the event; a retry has the same id."),
        "source": _attribute("The producer of the event: a URI-reference, such as /newsroom.")
        | {"format": "uri-reference"},
        "type": {},
        "subject": {
            "type": ["string", "null"],
            "pattern": TOKEN,
            "description": "Over HTTP, the id for the video; if absent, the id is derived from "
            "account, source and id. In NATS, the subject of the message has the id.",
        },
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {
            "type": ["string", "null"],
            "description": "A media type of JSON; application/json if absent.",
        },
        "account": {
            **_EXTENSION,
            "description": "Ignored: the subject of the NATS message, or the API key over HTTP, "
            "determines the account, and Kinora sets this attribute.",
        },
        request_ids.EXTENSION: {
            **_EXTENSION,
            "description": "Names this request in Kinora's logs and later events, if it has 1 to "
            "128 letters, digits, '.', '_' or '-'. Over HTTP, the header x-request-id does.",
        },
        "data_base64": {
            "type": ["string", "null"],
            "contentEncoding": "base64",
            "contentMediaType": "application/json",
            "description": "In place of data: the same JSON, in UTF-8 and base64.",
        },
    }


def _own_envelope() -> dict[str, Any]:
    """The attributes that Kinora sets in every event."""
    return {
        "specversion": {"type": "string", "const": "1.0"},
        "id": _attribute("A random UUID."),
        "source": _attribute("The function that published it, such as /kinora/generate.")
        | {"format": "uri-reference"},
        "type": {},
        "subject": {"type": "string", "pattern": TOKEN, "description": "The video's id."},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "By the publisher's clock. JetStream's timestamp is authoritative.",
        },
        "datacontenttype": {"type": "string", "const": "application/json"},
        "account": {
            "type": "string",
            "pattern": TOKEN,
            "description": "An extension attribute: the account that owns the video.",
        },
        request_ids.EXTENSION: {
            "type": "string",
            "description": "An extension attribute: the x-request-id of the HTTP request that led "
            "to this event. Absent from what no request led to, and from older events.",
        },
    }


def _attribute(description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_ATTRIBUTE,
        "description": description,
    }
