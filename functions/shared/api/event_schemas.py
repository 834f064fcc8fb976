"""The JSON Schemas of Kinora's events, made from the models in `videos`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from functions.shared import subjects
from functions.shared.streams.cloudevents import MAX_ATTRIBUTE
from functions.shared.streams.validation import MAX_EVENT_BYTES
from functions.shared.video.events import DATA_OF, EventName

TOKEN: Final = f"^{subjects.TOKEN}$"
# What Python's str.strip() removes, as literal characters: `\s` differs between dialects of regex.
BLANK: Final = "".join(c for c in map(chr, range(0x10000)) if c.isspace())

# Rules that depend on the deployed model, so that the schema can't hold them.
_PROFILE: Final = "Limits and default are the deployed model's: see `GET /v1/models`."
NOTES: Final = {
    "prompt": "Not only white space.",
    "size": f"With width or height, it must say the same. {_PROFILE}",
    "width": _PROFILE,
    "height": _PROFILE,
    "seconds": (
        "A number, or the same as text: digits, with up to six decimals. Given together with "
        "num_frames, it must say the same; num_frames must come out as 6k+1, within the limits "
        "of the deployed model."
    ),
    "num_frames": _PROFILE,
    "fps": _PROFILE,
    "num_inference_steps": _PROFILE,
    "guidance_scale": _PROFILE,
    "request_hash": "Others leave it out.",
}


@dataclass(frozen=True)
class About:
    """What the model of an event does not tell: who publishes it, and what it says."""

    publisher: str
    says: str


ABOUT: Final = {
    EventName.REQUESTED: About(
        "`submit`, or any system that may publish there", "Somebody asks for a video."
    ),
    EventName.STARTED: About("`generate`", "A worker has taken the video."),
    EventName.PROGRESSED: About(
        "`generate`", "The worker is alive and this far; or it gives the video back."
    ),
    EventName.COMPLETED: About("`generate`", "The files are in the object store."),
    EventName.FAILED: About("`generate` or `dispatch`", "There will be no video, and why."),
    EventName.CANCELLED: About("`submit`", "Somebody cancelled the video before it was done."),
    EventName.DELETED: About("`submit`", "The video and its files are gone."),
}


class Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat the name of their field."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's name
        """Never: see the class."""
        return False


def subject_of(name: EventName) -> str:
    """The NATS subject that the event is published on."""
    if name is EventName.REQUESTED:
        return "kinora.requests.<account>.<id>"
    return f"kinora.videos.<account>.<id>.{name}"


def schema_of(name: EventName, references: str = "#/$defs/{model}") -> dict[str, Any]:
    """The schema of the whole event in structured mode; `references` to its definitions."""
    data = DATA_OF[name].model_json_schema(schema_generator=Untitled, ref_template=references)
    definitions = data.pop("$defs", None)
    if name is EventName.REQUESTED:
        envelope = _open_envelope()
        data["properties"]["prompt"]["pattern"] = f"[^{BLANK}]"
        for field, note in NOTES.items():
            described = data["properties"][field]
            described["description"] = f"{described['description']} {note}"
        rules = (
            " Extension attributes may be added."
            f" The event may have at most {MAX_EVENT_BYTES} bytes."
            " Whole numbers are written without a fraction (848, not 848.0)."
        )
    else:
        envelope = _own_envelope()
        rules = " Self-contained: the newest of these events about a video is its whole state."
    envelope["type"] = {"const": name.type}
    optional = {"subject", "time", "datacontenttype", "account", "data_base64"}
    required = [
        attribute
        for attribute in envelope
        if name is not EventName.REQUESTED or attribute not in optional
    ]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:kinora:event-schemas:v1:{name}",
        "title": name.type,
        "description": f"{ABOUT[name].says} A CloudEvent, published on {subject_of(name)}.{rules}",
        "type": "object",
        "required": [*required, "data"],
        "properties": {**envelope, "data": data},
        "additionalProperties": True,
    }
    return schema if definitions is None else {**schema, "$defs": definitions}


def _open_envelope() -> dict[str, Any]:
    """The attributes of an event of anyone's: JSON null is the same as absent."""
    return {
        "specversion": {"const": "1.0"},
        "id": _attribute("With source, it names this event; sent again, it has the same id."),
        "source": _attribute("Who asks: a URI-reference, such as /newsroom.")
        | {"format": "uri-reference"},
        "type": {},
        "subject": {
            "type": ["string", "null"],
            "pattern": TOKEN,
            "description": "Over HTTP it becomes the video's id; if absent, the id is derived from "
            "account, source and id. In NATS the subject of the message says which video it is.",
        },
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {
            "type": ["string", "null"],
            "description": "The data is JSON, whether this says `application/json` or is absent.",
        },
        "account": {
            "description": "Not read: the subject of the message in NATS, or the API key over "
            "HTTP, says whose video it is. Kinora fills it in.",
        },
        # Data in base64 is refused: it could not be read in the stream.
        "data_base64": False,
    }


def _own_envelope() -> dict[str, Any]:
    """The attributes that Kinora writes into every event."""
    return {
        "specversion": {"const": "1.0"},
        "id": _attribute("A random UUID."),
        "source": _attribute("The function that says it, such as /kinora/generate.")
        | {"format": "uri-reference"},
        "type": {},
        "subject": {"type": "string", "pattern": TOKEN, "description": "The video's id."},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "The writer's clock. JetStream's timestamp of the message decides.",
        },
        "datacontenttype": {"const": "application/json"},
        "account": {
            "type": "string",
            "pattern": TOKEN,
            "description": "An extension attribute: whose video it is.",
        },
    }


def _attribute(description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_ATTRIBUTE,
        "description": description,
    }
