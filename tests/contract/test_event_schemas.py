"""The published schemas, the examples and the code agree about every event."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import (  # type: ignore[import-untyped]  # it ships no types
    Draft202012Validator,
    ValidationError,
)
from jsonschema.validators import extend  # type: ignore[import-untyped]  # as above
from pydantic import BaseModel

from functions.shared.errors import InvalidRequest
from functions.shared.streams.cloudevents import STRUCTURED, read_nats
from functions.shared.streams.validation import check_requested
from functions.shared.streams.video_events import VideoEvent, read_video_event
from functions.shared.subjects import VideoKey, is_token
from functions.shared.timestamps import parse_rfc3339
from functions.shared.video.events import (
    DATA_OF,
    Cancelled,
    Completed,
    CreatedData,
    Deleted,
    EventName,
    Failed,
    Failure,
    Lease,
    Output,
    Progressed,
    Requested,
    Started,
    VideoData,
)
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.usage import usage_of
from functions.submit.request_hash import hash_request

FOLDER = Path(__file__).parents[2] / "event-schemas"
HEADERS = {"content-type": STRUCTURED}
REQUESTED = EventName.REQUESTED
INTEGERS = ("width", "height", "num_frames", "fps", "num_inference_steps", "seed")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("event_schemas", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look up their module by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def ecma_pattern(
    _: object, pattern: str, instance: object, __: object
) -> Any:  # jsonschema expects a generator
    # JSON Schema uses ECMA-262's `$`; Python's also matches before a final line feed.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


GENERATOR = load_generator()
Validator = extend(Draft202012Validator, {"pattern": ecma_pattern})
SCHEMAS = {name: read_json(FOLDER / "v1" / f"{name}.json") for name in EventName}
VALIDATORS = {name: Validator(schema) for name, schema in SCHEMAS.items()}
EXAMPLES = {path.stem: read_json(path) for path in sorted((FOLDER / "examples").glob("*.json"))}

KEY = VideoKey("newsroom", "lemons-of-amalfi-1")
FULL: dict[str, Any] = EXAMPLES["requested-full"]["data"]
RESOLVED = ResolvedRequest.resolve(
    check_requested(REQUESTED.type, FULL), load_profile("mochi-1"), KEY.account, KEY.video_id
)
COMMON: dict[str, Any] = {
    "created_at": "2025-06-12T09:30:00.412907331Z",
    "request": RESOLVED,
    "attempt": 2,
    "worker": "generate-1",
    "started_at": "2025-06-12T09:30:01.087215904Z",
}
FAILURE = Failure(code="out_of_memory", message="It does not fit.")
WRITTEN: list[tuple[EventName, BaseModel]] = [
    (REQUESTED, Requested(**RESOLVED.as_request(), request_hash="0" * 64)),
    (EventName.STARTED, Started(**COMMON, lease=Lease(id="0" * 32, seconds=20))),
    (
        EventName.PROGRESSED,
        Progressed(
            **COMMON,
            lease=Lease(id="0" * 32, seconds=0),
            progress=34,
            stage="denoising",
            error=FAILURE,
        ),
    ),
    (
        EventName.COMPLETED,
        Completed(
            **COMMON,
            output=Output(
                prefix=KEY.object_prefix, bytes=1, sha256="0" * 64, width=848, height=480, frames=61
            ),
            timings={"denoising": 1.5, "saving": 2},
            model_revision="0" * 40,
        ),
    ),
    (EventName.FAILED, Failed(**COMMON, error=FAILURE)),
    # An invalid request leaves few fields to carry.
    (EventName.FAILED, Failed(created_at=COMMON["created_at"], error=FAILURE, prompt="a")),
    (EventName.CANCELLED, Cancelled(**COMMON)),
    (EventName.DELETED, Deleted(created_at=COMMON["created_at"])),
]


def event_with(data: object, **attributes: object) -> dict[str, Any]:
    return {**EXAMPLES["requested"], "data": data, **attributes}


def schema_accepts(event: object) -> bool:
    """Whether the event is valid against the schema of `requested`; NaN is not JSON, so never."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        document = json.loads(json.dumps(event), parse_constant=refuse)
    except ValueError:
        return False
    return bool(VALIDATORS[REQUESTED].is_valid(document))


def code_accepts(event: object) -> bool:
    """Whether the code accepts the event as a request when it reads it from the stream."""
    try:
        incoming = read_nats(HEADERS, json.dumps(event).encode())
        check_requested(incoming.type, incoming.data)
    except InvalidRequest:
        return False
    return True


@pytest.mark.parametrize("name", EventName)
def test_schemas_are_valid(name: EventName) -> None:
    """Every event has a schema in dialect 2020-12 that describes the whole CloudEvent."""
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == schema["properties"]["type"]["const"] == name.type
    assert schema["$id"].endswith(f":v1:{name}")
    assert {"specversion", "id", "source", "type"} <= set(schema["required"])
    assert "data" in (schema["else"] if name is REQUESTED else schema)["required"]


def test_schemas_and_readme_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """The committed files are what the generator produces from the current models."""
    assert GENERATOR.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --check the generator lists missing, changed and surplus files, and fixes none."""
    folder = tmp_path / "event-schemas"
    (folder / "v1").mkdir(parents=True)
    (folder / "v1" / "requested.json").write_text("{}")
    (folder / "v1" / "paused.json").write_text("{}")
    (folder / "README.md").write_text((FOLDER / "README.md").read_text(encoding="utf-8"))
    monkeypatch.setattr(GENERATOR, "FOLDER", folder)
    assert GENERATOR.main(["--check"]) == 1
    stderr = capsys.readouterr().err
    for name in ("requested", "started", "paused"):
        assert f"event-schemas/v1/{name}.json is stale" in stderr
    assert "README.md is stale" not in stderr
    assert (folder / "v1" / "requested.json").read_text() == "{}"
    assert GENERATOR.main([]) == 0
    assert GENERATOR.main(["--check"]) == 0
    assert not (folder / "v1" / "paused.json").exists()


def test_a_readme_without_markers_is_an_error() -> None:
    """The generator does not guess where to put the table."""
    with pytest.raises(ValueError, match="events:begin"):
        GENERATOR.with_table("# Events\n")


def test_every_event_has_an_example() -> None:
    """There is one golden example of each type, and a second one of `requested`."""
    assert set(EXAMPLES) == {*EventName, "requested-full"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example: str) -> None:
    """Every example is valid, and the code parses it into the model of its type."""
    name = EventName(example.partition("-")[0])
    event = EXAMPLES[example]
    VALIDATORS[name].validate(event)
    found, event_id, data = read_video_event(HEADERS, json.dumps(event).encode())
    assert (found, event_id, type(data)) == (name, event["id"], DATA_OF[name])
    # eventing-natss sends no content type; the event must be recognized anyway.
    assert read_nats({}, json.dumps(event).encode()).type == name.type
    if name is REQUESTED:
        assert check_requested(name.type, event["data"]) == data
    else:
        assert data.model_dump(mode="json", exclude_none=True) == event["data"]


def test_the_smallest_request_is_only_a_prompt() -> None:
    """The minimal example has the four attributes that CloudEvents requires, and a prompt."""
    assert set(EXAMPLES["requested"]) == {"specversion", "id", "source", "type", "data"}
    assert set(EXAMPLES["requested"]["data"]) == {"prompt"}


def test_the_full_request_has_every_field() -> None:
    """The reference example has every field that a caller may send."""
    assert set(FULL) == set(Requested.model_fields) - {"request_hash"}


def test_the_example_of_a_deletion_has_what_the_video_used() -> None:
    """That of the example of its completion."""
    done, deleted = EXAMPLES[EventName.COMPLETED], EXAMPLES[EventName.DELETED]
    data = Completed.model_validate(done["data"])
    expected = usage_of(data, parse_rfc3339(done["time"]))
    assert Deleted.model_validate(deleted["data"]).usage == expected


@pytest.mark.parametrize("name", [n for n in EventName if n is not REQUESTED])
def test_examples_are_about_one_video(name: EventName) -> None:
    """All examples are about the video that `requested-full` requests."""
    event = EXAMPLES[name]
    assert (event["account"], event["subject"]) == (KEY.account, KEY.video_id)
    data = DATA_OF[name].model_validate(event["data"])
    assert isinstance(data, CreatedData)
    assert data.created_at == COMMON["created_at"]
    if isinstance(data, VideoData):
        assert data.request == RESOLVED
        assert data.request_hash == hash_request(
            check_requested(REQUESTED.type, FULL), RESOLVED.num_frames
        )
    if isinstance(data, Completed):
        lease = EXAMPLES["started"]["data"]["lease"]["id"]
        assert data.output.prefix == f"{KEY.object_prefix}{data.attempt}-{lease}/"
        shown = (data.output.width, data.output.height, data.output.frames)
        assert shown == (RESOLVED.width, RESOLVED.height, RESOLVED.num_frames)


@pytest.mark.parametrize(("name", "data"), WRITTEN)
def test_published_events_are_valid(name: EventName, data: BaseModel) -> None:
    """Every event that Kinora publishes is valid against the schema of its type and no other."""
    written = json.loads(VideoEvent.new(KEY, name, data, source="/kinora/test").to_bytes())
    VALIDATORS[name].validate(written)
    assert [n for n in EventName if VALIDATORS[n].is_valid(written)] == [name]


def test_every_type_is_covered() -> None:
    """The previous test covers every type."""
    assert {name for name, _ in WRITTEN} == set(EventName)


@pytest.mark.parametrize("name", [n for n in EventName if n is not REQUESTED])
def test_unknown_fields_are_ignored(name: EventName) -> None:
    """An event of a later v1 with more fields is valid, and its unknown fields are ignored."""
    event = EXAMPLES[name]
    later = {**event, "region": "eu", "data": {**event["data"], "cost": {"cents": 3}}}
    VALIDATORS[name].validate(later)
    read = read_video_event(HEADERS, json.dumps(later).encode())
    assert read == read_video_event(HEADERS, json.dumps(event).encode())


GOOD: list[Mapping[str, object]] = [
    {"prompt": "a"},
    {"prompt": "ä" * 4096},
    # Limits count characters, not UTF-16 code units as JavaScript does.
    {"prompt": "\U0001f34b" * 4096},
    {"prompt": " a "},
    {"prompt": "\u200b.\0"},
    {"prompt": "\U0001f388"},
    {"prompt": "a", "negative_prompt": ""},
    {"prompt": "a", **dict.fromkeys(set(Requested.model_fields) - {"prompt"})},
    {"prompt": "a", "size": "848x480"},
    {"prompt": "a", "seconds": 2},
    {"prompt": "a", "seconds": 2.5},
    {"prompt": "a", "seconds": "2.5"},
    {"prompt": "a", "guidance_scale": 4},
    {"prompt": "a", "priority": "high"},
    {"prompt": "a", "priority": "normal"},
    {"prompt": "a", "quality": "exact"},
    {"prompt": "a", "quality": "fast"},
    {"prompt": "a", "seed": 0},
    {"prompt": "a", "seed": 2**32 - 1},
    {"prompt": "a", "width": -16, "num_frames": 8, "fps": 0},
    {"prompt": "a", "metadata": {}},
    {"prompt": "a", "metadata": {"k" * 64: "v" * 512}},
    {"prompt": "a", "metadata": {str(n): "" for n in range(16)}},
    {"prompt": "a", "request_hash": "0" * 64},
    FULL,
]


@pytest.mark.parametrize("data", GOOD)
def test_both_accept_good_data(data: Mapping[str, object]) -> None:
    """The code accepts what the schema of `requested` allows, up to its limits."""
    assert schema_accepts(event_with(data))
    assert code_accepts(event_with(data))


BAD: list[object] = [
    None,
    "a lemon",
    ["a lemon"],
    {},
    {"seed": 1},
    {"prompt": None},
    {"prompt": 1},
    {"prompt": True},
    {"prompt": ["a"]},
    {"prompt": ""},
    {"prompt": " \t\r\n"},
    {"prompt": "\u3000\u2003\u00a0"},
    {"prompt": "\x1c\x85"},
    {"prompt": "a" * 4097},
    {"prompt": "a", "promt": "b"},
    {"prompt": "a", "no": None},
    {"prompt": "a", "input_reference": "b"},
    {"prompt": "a", "negative_prompt": "b" * 4097},
    {"prompt": "a", "negative_prompt": 1},
    {"prompt": "a", "model": "m" * 129},
    {"prompt": "a", "size": "1x"},
    {"prompt": "a", "size": "848X480"},
    {"prompt": "a", "size": "848x480\n"},
    {"prompt": "a", "size": "\u0661x\u0661"},
    {"prompt": "a", "size": 848},
    {"prompt": "a", "width": "848"},
    {"prompt": "a", "width": 848.5},
    {"prompt": "a", "width": True},
    {"prompt": "a", "seconds": [2]},
    {"prompt": "a", "seconds": False},
    {"prompt": "a", "seconds": math.inf},
    {"prompt": "a", "num_frames": "61"},
    {"prompt": "a", "guidance_scale": "4.5"},
    {"prompt": "a", "guidance_scale": math.nan},
    {"prompt": "a", "guidance_scale": -math.inf},
    {"prompt": "a", "guidance_scale": True},
    {"prompt": "a", "priority": "urgent"},
    {"prompt": "a", "priority": 1},
    {"prompt": "a", "quality": "best"},
    {"prompt": "a", "quality": ""},
    {"prompt": "a", "quality": 1},
    {"prompt": "\0\u200b\ufeff\u3164"},
    {"prompt": "a", "seed": -1},
    {"prompt": "a", "seed": 2**32},
    {"prompt": "a", "seed": "1"},
    {"prompt": "a", "metadata": {str(n): "" for n in range(17)}},
    {"prompt": "a", "metadata": {"": "v"}},
    {"prompt": "a", "metadata": {"k" * 65: "v"}},
    {"prompt": "a", "metadata": {"k": "v" * 513}},
    {"prompt": "a", "metadata": {"k": 1}},
    {"prompt": "a", "metadata": {"k": None}},
    {"prompt": "a", "metadata": {"k": True}},
    {"prompt": "a", "metadata": []},
    {"prompt": "a", "request_hash": "0" * 65},
]


@pytest.mark.parametrize("data", BAD)
def test_both_refuse_bad_data(data: object) -> None:
    """The code rejects what the schema of `requested` forbids."""
    assert not schema_accepts(event_with(data))
    assert not code_accepts(event_with(data))


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "data"])
def test_both_require_the_required_attributes(attribute: str) -> None:
    """A request without a required attribute, or without data, is rejected."""
    event = {n: value for n, value in EXAMPLES["requested"].items() if n != attribute}
    assert not schema_accepts(event)
    assert not code_accepts(event)


@pytest.mark.parametrize(
    "attributes",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"id": ""},
        {"id": 7},
        {"id": "i" * 1025},
        {"source": ""},
        {"source": None},
        {"type": "dev.kinora.video.started.v1"},
        {"type": "dev.kinora.video.requested.v2"},
        {"subject": 7},
        {"time": 1749720600},
        {"data_base64": "e30="},
        {"team": {"name": "a"}},
        {"team": ["a"]},
        {"cost": 1.5},
    ],
)
def test_both_refuse_bad_attributes(attributes: Mapping[str, object]) -> None:
    """Schema and code reject what CloudEvents forbids, and data that are sent twice."""
    event = {**EXAMPLES["requested"], **attributes}
    assert not schema_accepts(event)
    assert not code_accepts(event)


@pytest.mark.parametrize(
    "attributes",
    [
        {"subject": None, "time": None, "datacontenttype": None},
        {"subject": "lemon_1"},
        {"time": "2025-06-12T09:30:00.123456789+02:00"},
        {"account": "another-account"},
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {"priority": 3, "urgent": True, "team": None},
        {"data_base64": None},
    ],
)
def test_extension_attributes_are_accepted(attributes: Mapping[str, object]) -> None:
    """Optional attributes may be null, and any extension attributes may be present."""
    event = {**EXAMPLES["requested"], **attributes}
    assert schema_accepts(event)
    assert code_accepts(event)


@pytest.mark.parametrize(
    ("encoded", "valid"), [("eyJwcm9tcHQiOiAieCJ9", True), (7, False), (None, False)]
)
def test_data_may_be_in_base64_instead(encoded: object, valid: bool) -> None:
    """Then the event has no other data."""
    event = {n: value for n, value in EXAMPLES["requested"].items() if n != "data"}
    assert schema_accepts({**event, "data_base64": encoded}) is valid
    assert code_accepts({**event, "data_base64": encoded}) is valid


@pytest.mark.parametrize(
    "token", ["a", "A-z_0", "a" * 64, "", "a" * 65, "a.b", "*", ">", "é", "a\n"]
)
def test_subjects_are_tokens(token: str) -> None:
    """The schema accepts as a subject exactly what may be a video's id."""
    assert schema_accepts(event_with({"prompt": "a"}, subject=token)) == is_token(token)


def test_limits_of_the_model_are_not_in_the_schema() -> None:
    """The schema accepts both seven and eight frames; the profile knows which Mochi supports."""
    seven, eight = ({"prompt": "a", "num_frames": n} for n in (7, 8))
    assert schema_accepts(event_with(seven))
    assert schema_accepts(event_with(eight))
    profile = load_profile("mochi-1")
    assert (
        ResolvedRequest.resolve(Requested.model_validate(seven), profile, "a", "b").num_frames == 7
    )
    with pytest.raises(InvalidRequest, match="num_frames"):
        ResolvedRequest.resolve(Requested.model_validate(eight), profile, "a", "b")


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in _texts(item))]
    return [value] if isinstance(value, str) else []


def _whole_with_fraction(data: Mapping[str, Any]) -> bool:
    return any(isinstance(data.get(f), float) and data[f].is_integer() for f in INTEGERS)


def _too_large_for_double(data: Mapping[str, Any]) -> bool:
    numbers = [data.get(field) for field in ("seconds", "guidance_scale")]
    return any(isinstance(n, int | float) and abs(n) > sys.float_info.max for n in numbers)


def _lone_surrogate(data: Mapping[str, Any]) -> bool:
    return any("\ud800" <= char <= "\udfff" for text in _texts(data) for char in text)


# Everything that the schema accepts but the code rejects, because JSON Schema can't express it.
STRICTER: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "a whole number is written without a fraction": _whole_with_fraction,
    "a number fits into 64 bits": _too_large_for_double,
    "text can be written in UTF-8": _lone_surrogate,
}


@pytest.mark.parametrize(
    "data",
    [
        {"prompt": "a", "width": 848.0},
        {"prompt": "a", "seed": 1e3},
        {"prompt": "a", "guidance_scale": 10**400},
        {"prompt": "a", "seconds": -(10**400)},
        {"prompt": "a \ud83c"},
        {"prompt": "a", "metadata": {"\udf4b": "v"}},
    ],
)
def test_where_the_code_is_stricter(data: Mapping[str, object]) -> None:
    """Known cases that the schema accepts and the code rejects, each covered by a rule."""
    assert schema_accepts(event_with(data))
    assert not code_accepts(event_with(data))
    assert any(rule(data) for rule in STRICTER.values())


@pytest.mark.parametrize("data", [{"prompt": "a", "\ud800": 1}, {"prompt": "a", "\ud800": True}])
def test_field_names_with_lone_surrogates_are_rejected(data: Mapping[str, object]) -> None:
    """A field whose name can't be encoded is rejected as unknown, with an encodable message."""
    assert not schema_accepts(event_with(data))
    with pytest.raises(InvalidRequest) as refused:
        check_requested(REQUESTED.type, data)
    assert refused.value.message.encode()


TEXT = (
    st.text(max_size=8)
    | st.sampled_from(["", " ", "\u2028", "\x1f", "1x1", "1x1\n", "2.5", "\ud800"])
    | st.sampled_from([64, 65, 128, 129, 512, 513, 4096, 4097]).map(lambda length: "a" * length)
)
NUMBERS = (
    st.integers(-2, 2**33)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([16.0, 10**400, -1, 2**32 - 1, 2**32])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
METADATA = st.dictionaries(TEXT, TEXT, max_size=3) | st.sampled_from(
    [{str(n): "" for n in range(16)}, {str(n): "" for n in range(17)}]
)
ANYTHING = SCALARS | METADATA | st.lists(SCALARS, max_size=2)
# Mostly of the right type; otherwise hardly any example would be accepted.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(Requested.model_fields, TEXT),
    **dict.fromkeys(INTEGERS, st.integers(0, 2**32 - 1)),
    "guidance_scale": NUMBERS,
    "priority": st.sampled_from(["high", "normal", "low"]),
    "quality": st.sampled_from(["exact", "fast"]),
    "seconds": TEXT | NUMBERS,
    "size": st.from_regex(r"^[0-9]{1,5}x[0-9]{1,5}$"),
    "metadata": METADATA,
}


def _mostly(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 5).flatmap(
        lambda n: (ANYTHING, st.none(), NUMBERS | TEXT, *[likely] * 3)[n]
    )


FIELDS = [st.tuples(st.just(name), _mostly(likely)) for name, likely in LIKELY.items()]
UNKNOWN = st.tuples(st.text(max_size=5), SCALARS)


@st.composite
def some_data(draw: st.DrawFn) -> dict[str, Any]:
    few = draw(st.lists(st.one_of(*FIELDS), max_size=3))
    if draw(st.integers(0, 9)) == 0:
        few.append(draw(UNKNOWN))
    prompt = draw(st.sampled_from([{}, *[{"prompt": "a red circle"}] * 5]))
    return {**prompt, **dict(few)}


@settings(max_examples=150, database=None)
@given(some_data())
def test_schema_and_code_agree(data: dict[str, Any]) -> None:
    """The schema accepts what the code accepts, and vice versa except for the rules above."""
    by_schema, by_code = schema_accepts(event_with(data)), code_accepts(event_with(data))
    if by_schema and not by_code:
        broken = [rule for rule, breaks in STRICTER.items() if breaks(data)]
        assert broken, "the code rejects this for a reason that is not listed"
    else:
        assert by_schema == by_code
