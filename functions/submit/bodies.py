"""Parses request bodies: JSON and forms for videos, and CloudEvents."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Request

from functions.shared import strict_json
from functions.shared.api.parameters import sent_twice
from functions.shared.errors import InvalidEvent, InvalidRequest, KinoraError, TextOnly, excerpt
from functions.shared.streams.cloudevents import (
    BATCH,
    MAX_BATCH,
    STRUCTURED,
    ReceivedEvent,
    is_json,
    parse_structured,
    read_binary,
    read_structured,
)

# openai-python writes nested form fields as `metadata[name]`.
# A name may have brackets itself.
_PAIR: Final = re.compile(r"metadata\[(.*)\]", re.DOTALL)
_URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_FORMS: Final = (_MULTIPART, _URLENCODED)


def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a JSON object or a form, not yet validated.

    Raises:
        InvalidRequest: the body is neither, does not match its content type, or has a field twice.
    """
    if request.mimetype in _FORMS:
        return _form_fields(request)
    if not is_json(request.mimetype):
        raise InvalidRequest(
            "Send the body as application/json or multipart/form-data", code="invalid_content_type"
        )
    body = _parse(_body(request, InvalidRequest))
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object with a 'prompt'", code="invalid_json")
    return {name: value for name, value in body.items() if value is not None}


def _form_fields(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    pairs: dict[str, str] = {}
    _check_text(request)
    if request.mimetype == _MULTIPART:
        _check_boundary(request)
    for name in request.files:
        raise TextOnly(
            f"{excerpt(name)} is a file: this model makes videos from text only. Leave it out, or "
            "send it as text",
            param=excerpt(name),
        )
    for name, values in request.form.lists():
        if not name:
            raise InvalidRequest("A part of the form has no name; every part needs one")
        if len(values) > 1 or name in fields:
            raise sent_twice(name)
        pair = _PAIR.fullmatch(name)
        if pair is None:
            fields[name] = values[0]
        else:
            pairs[pair[1]] = values[0]
    if "metadata" in fields:
        if pairs:
            raise InvalidRequest(
                "metadata was sent as an object and as metadata[name]=value; use one of them",
                param="metadata",
            )
        fields["metadata"] = _metadata(fields["metadata"])
    elif pairs:
        fields["metadata"] = pairs
    return fields


def _check_boundary(request: Request) -> None:
    """Refuse a form whose parts can't be told apart, which werkzeug would read as an empty one.

    RFC 2046, section 5.1.1: a part begins with `--boundary`, and the last one ends with
    `--boundary--`.
    """
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        reason = "its Content-Type names no boundary. Let your HTTP library write this header"
    elif f"--{boundary}".encode() not in request.get_data():
        reason = "no part begins with the boundary that its Content-Type names"
    elif f"--{boundary}--".encode() not in request.get_data():
        reason = "it breaks off before its last boundary. Send it whole"
    else:
        return
    raise InvalidRequest(f"The form can't be read: {reason}", code="invalid_form")


def read_events(request: Request) -> list[ReceivedEvent]:
    """The CloudEvents of a body in binary, structured or batch mode: all of them, or an error.

    Raises:
        InvalidEvent: the body has none of these modes, or one of the events is not valid.
    """
    body = _body(request, InvalidEvent)
    if request.mimetype == STRUCTURED:
        return [read_structured(parse_structured(body))]
    if request.mimetype == BATCH:
        return _batch(parse_structured(body))
    headers = {name.lower(): value for name, value in request.headers.items()}
    # Without a ce-specversion, other `ce-` headers do not make an event.
    if "ce-specversion" not in headers:
        raise InvalidEvent(
            "Send a CloudEvent: with 'ce-' headers, among them ce-specversion, or as "
            f"{STRUCTURED} or {BATCH}"
        )
    return [read_binary(headers, body)]


def _batch(document: object) -> list[ReceivedEvent]:
    if not isinstance(document, list):
        raise InvalidEvent("A batch must be a JSON array of CloudEvents")
    if len(document) > MAX_BATCH:
        raise InvalidEvent(
            f"The batch has {len(document)} events; at most {MAX_BATCH} are accepted. "
            "Send smaller batches."
        )
    events = []
    for number, item in enumerate(document):
        with numbered_errors(number, len(document)):
            events.append(read_structured(item))
    return events


@contextlib.contextmanager
def numbered_errors(number: int, total: int) -> Iterator[None]:
    """Prefix errors with the number of the event, counting from 0, if it is one of several."""
    try:
        yield
    except KinoraError as error:
        if total > 1:
            error.message = f"Event {number}: {error.message}"
        raise


def _body(request: Request, error: type[InvalidRequest]) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise error(
            f"The body has the encoding {excerpt(encoding)!r}; send it without Content-Encoding"
        )
    return request.get_data()


def _parse(body: bytes) -> object:
    try:
        return strict_json.parse(body)
    except strict_json.NotJson as problem:
        raise InvalidRequest(
            f"The body {problem}", param=problem.name, code="invalid_json"
        ) from None


def _metadata(text: str) -> object:
    try:
        return strict_json.parse(text.encode(errors="replace"))
    except strict_json.NotJson as problem:
        raise InvalidRequest(
            f"metadata {problem}. Send it as a JSON object, or as metadata[name]=value",
            param="metadata",
        ) from None


def _check_text(request: Request) -> None:
    """Refuse a form that is not UTF-8: werkzeug would replace what it can't decode."""
    body = _body(request, InvalidRequest)
    try:
        if request.mimetype == _URLENCODED:
            parse_qsl(body.decode(), errors="strict")
        elif any(
            "\ufffd" in (text or "") for part in request.form.items(multi=True) for text in part
        ):
            body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The form is not valid UTF-8; encode its text as UTF-8") from None
