"""Reading what callers send: JSON and forms on one side, CloudEvents on the other."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Request

from functions.shared import strict_json
from functions.shared.errors import InvalidEvent, InvalidRequest
from functions.shared.streams.cloudevents import (
    BATCH,
    MAX_BATCH,
    STRUCTURED,
    ReceivedEvent,
    read_binary,
    read_structured,
)

# openai-python writes nested fields of a form as `metadata[name]`.
_NESTED: Final = re.compile(r"metadata\[([^\]]*)\]")
_FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")


def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a JSON object or a form, not yet checked.

    Raises:
        InvalidRequest: the body is neither, is not what its content type says, or names a field
            twice.
    """
    if request.mimetype in _FORMS:
        return _form_fields(request)
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise InvalidRequest(
            "Send the body as application/json or multipart/form-data", code="invalid_content_type"
        )
    body = _parse(_body(request, InvalidRequest), InvalidRequest)
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object with a 'prompt'", code="invalid_json")
    return {name: value for name, value in body.items() if value is not None}


def _form_fields(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    pairs: dict[str, str] = {}
    _check_text(request)
    # A file is a field like any other: an unknown one is refused by its name.
    sent = [*request.form.lists(), *((name, [""]) for name in request.files)]
    for name, values in sent:
        if not name:
            raise InvalidRequest("A part of the form has no name")
        if len(values) > 1 or name in fields:
            raise InvalidRequest(f"{name[:80]} was sent more than once", param=name[:80])
        nested = _NESTED.fullmatch(name)
        if nested is None:
            fields[name] = values[0]
        else:
            pairs[nested[1]] = values[0]
    if "metadata" in fields:
        if pairs:
            raise InvalidRequest("metadata was sent as a whole and in pairs", param="metadata")
        fields["metadata"] = _metadata(fields["metadata"])
    elif pairs:
        fields["metadata"] = pairs
    return fields


def read_events(request: Request) -> list[ReceivedEvent]:
    """The CloudEvents of a body in binary, structured or batch mode: all of them, or an error.

    Raises:
        InvalidEvent: the body is none of these, or one of the events is not valid.
    """
    body = _body(request, InvalidEvent)
    if request.mimetype == STRUCTURED:
        return [read_structured(_parse(body, InvalidEvent))]
    if request.mimetype == BATCH:
        return _batch(_parse(body, InvalidEvent))
    headers = {name.lower(): value for name, value in request.headers.items()}
    # Any other `ce-` header alone does not make an event.
    if "ce-specversion" not in headers:
        raise InvalidEvent(
            f"Send a CloudEvent: 'ce-' headers with a ce-specversion, or {STRUCTURED}, or {BATCH}"
        )
    if request.mimetype not in ("", "application/json") and not request.mimetype.endswith("+json"):
        raise InvalidEvent("The event's data must be application/json", param="datacontenttype")
    return [read_binary(headers, body)]


def _batch(document: object) -> list[ReceivedEvent]:
    if not isinstance(document, list):
        raise InvalidEvent("A batch must be a JSON array of CloudEvents")
    if len(document) > MAX_BATCH:
        raise InvalidEvent(f"A batch holds at most {MAX_BATCH} events; this has {len(document)}")
    events = []
    for number, item in enumerate(document):
        try:
            events.append(read_structured(item))
        except InvalidEvent as error:
            raise InvalidEvent(f"Event {number}: {error.message}", param=error.param) from None
    return events


def _body(request: Request, error: type[InvalidRequest]) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise error(f"The body is sent as {encoding[:80]!r}; send it without Content-Encoding")
    return request.get_data()


def _parse(body: bytes, error: type[InvalidRequest]) -> object:
    try:
        return strict_json.parse(body)
    except strict_json.NotJson as problem:
        raise error(f"The body {problem}", param=problem.name, code="invalid_json") from None


def _metadata(text: str) -> object:
    try:
        return strict_json.parse(text.encode(errors="replace"))
    except strict_json.NotJson as problem:
        raise InvalidRequest(
            f"metadata {problem}; write it as a JSON object, or as metadata[name]=value",
            param="metadata",
        ) from None


def _check_text(request: Request) -> None:
    """Refuse a form whose text werkzeug would change to make it readable."""
    body = _body(request, InvalidRequest)
    try:
        if request.mimetype == "application/x-www-form-urlencoded":
            parse_qsl(body.decode(), errors="strict")
        elif any(
            "\ufffd" in (text or "") for part in request.form.items(multi=True) for text in part
        ):
            body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The form is not valid UTF-8") from None
