"""The OpenAPI document is valid and describes every route correctly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from functions.shared.api.http import OPERATOR_ROUTES
from functions.shared.api.media_routes import MEDIA_ENDPOINT
from functions.shared.api.openapi import document
from functions.shared.config import Settings
from functions.shared.errors import InvalidRequest
from functions.shared.streams.validation import check_body
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.sizes import size_in_pixels
from functions.status.app import create_app as create_status
from functions.submit.app import create_app as create_submit
from local.stack import Stack
from tests.fakes import MemoryBus, MemoryStore
from tests.node import PACKAGES, run_node

REDOCLY = PACKAGES / "@redocly" / "cli" / "bin" / "cli.js"
PROFILES = ("demo", "mochi-1")
METHODS = ("get", "head", "post", "put", "patch", "delete")


@pytest.fixture
def apps() -> list[Flask]:
    """Both functions behind the gateway."""
    settings, bus, store = Settings(), MemoryBus(), MemoryStore()
    return [create_submit(settings, bus, store), create_status(settings, bus, store)]


def _operations(whole: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in whole["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def _validator(whole: dict[str, Any], name: str) -> Any:
    resource = DRAFT202012.create_resource(whole)
    registry: Registry[Any] = Registry().with_resource("urn:openapi", resource)
    return Draft202012Validator(
        {"$ref": f"urn:openapi#/components/schemas/{name}"}, registry=registry
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_redocly_finds_nothing(profile: str, tmp_path: Path) -> None:
    """The document passes the linter's strictest recommended rules, none of them disabled."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document(load_profile(profile))))
    run_node(REDOCLY, "lint", "--extends=recommended-strict", path)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_document_is_valid_openapi(profile: str) -> None:
    """It matches the specification's schema, and its references resolve."""
    validate(document(load_profile(profile)))


def test_both_functions_serve_the_document_without_a_key(apps: list[Flask]) -> None:
    """The same document, with the limits of the deployed model."""
    for app in apps:
        answer = app.test_client().get("/openapi.json")
        assert answer.mimetype == "application/json"
        assert answer.get_json() == document(load_profile("demo"))


def test_every_route_is_described_and_nothing_else(apps: list[Flask]) -> None:
    """Its operation id is the name of the route's endpoint."""
    registered = {
        (method.lower(), re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule), rule.endpoint)
        for app in apps
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        # Routes that only say what is not supported would become functions of generated clients.
        if rule.endpoint not in ("static", MEDIA_ENDPOINT) and rule.rule not in OPERATOR_ROUTES
    }
    described = {
        (method, path, operation["operationId"])
        for method, path, operation in _operations(document(load_profile("demo")))
        if method != "head"
    }
    assert described == registered


def test_the_servers_are_gateways() -> None:
    """The one that serves the document, and for a copy of it that of `make run`."""
    servers = [server["url"] for server in document(load_profile("demo"))["servers"]]
    assert servers == ["/", Stack.from_environ({}).url]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", "OPTIONS, POST"),
        ("/v1/videos", "GET, HEAD, OPTIONS, POST"),
        ("/v1/videos/v1", "DELETE, GET, HEAD, OPTIONS"),
        ("/v1/videos/v1/cancel", "OPTIONS, POST"),
        ("/v1/videos/v1/content", "GET, HEAD, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_path_allows_the_methods_of_both_functions(
    apps: list[Flask], path: str, allowed: str
) -> None:
    """Callers see one API, whichever function responds."""
    for app in apps:
        client = app.test_client()
        options = client.options(path)
        assert (options.status_code, options.headers["Allow"]) == (200, allowed)
        for method in ("PUT", "PATCH", "TRACE"):
            wrong = client.open(path, method=method)
            assert (wrong.status_code, wrong.headers["Allow"]) == (405, allowed)
            assert wrong.get_json()["error"]["code"] == "method_not_allowed"
        assert client.options("/nothing").status_code == 404


@pytest.mark.parametrize("profile", PROFILES)
def test_the_examples_match_their_schemas(profile: str) -> None:
    """In request bodies and responses."""
    whole = document(load_profile(profile))
    seen = 0
    for _, _, operation in _operations(whole):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (media for body in bodies for media in body.get("content", {}).values()):
            reference = media.get("schema", {}).get("$ref")
            if reference and "example" in media:
                _validator(whole, reference.split("/")[-1]).validate(media["example"])
                seen += 1
    assert seen >= 6


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "fields",
    [
        {"width": 32},
        {"width": 850},
        {"height": 64},
        {"num_frames": 8},
        {"num_frames": 7},
        {"num_frames": 163},
        {"num_frames": 169},
        {"fps": 0},
        {"fps": 60},
        {"num_inference_steps": 1},
        {"num_inference_steps": 2},
        {"guidance_scale": 20},
        {"quality": "exact"},
        {"quality": "fast"},
        {"quality": "best"},
        {"guidance_scale": 20.5},
        {"seed": -1},
        {"seed": 2**32 - 1},
        {"seed": 2**32},
        {"seconds": "1"},
        {"seconds": "soon"},
        {"size": "96"},
        {"metadata": {"": "x"}},
        {"metadata": {"team": "a"}},
        {"prompt": " "},
        {"prompt": "x" * 4097},
        {"nope": 1},
        {"model": None},
    ],
)
def test_the_documented_limits_are_enforced(profile: str, fields: dict[str, Any]) -> None:
    """The schema and the function accept and refuse the same values."""
    loaded = load_profile(profile)
    body = {"prompt": "x", **fields}
    described = _validator(document(loaded), "CreateVideo").is_valid(body)
    try:
        sent = {name: value for name, value in body.items() if value is not None}
        ResolvedRequest.resolve(check_body(sent), loaded, "a", "v")
        accepted = True
    except InvalidRequest:
        accepted = False
    assert described is accepted


@pytest.mark.parametrize("profile", PROFILES)
def test_the_documented_defaults_and_suggestions_are_used(profile: str) -> None:
    """A request with only a prompt resolves to the defaults that the descriptions name."""
    loaded = load_profile(profile)
    fields = document(loaded)["components"]["schemas"]["CreateVideo"]["properties"]
    request = ResolvedRequest.resolve(check_body({"prompt": "x"}), loaded, "a", "v")
    resolved = {**request.model_dump(), "size": request.size}
    described = {
        name: match[1]
        for name, field in fields.items()
        if (match := re.search(r"Default: (.+)\.$", field["description"]))
    }
    assert described == {name: str(resolved[name]) for name in described}
    assert described.keys() == {
        *("size", "width", "height", "num_frames", "fps", "num_inference_steps", "guidance_scale"),
        *("quality", "priority"),
    }
    for size in fields["size"]["examples"]:
        assert size_in_pixels(size, (None, None), loaded)


def test_errors_match_their_schema(apps: list[Flask]) -> None:
    """Errors from both functions."""
    whole = document(load_profile("demo"))
    for app, path in ((apps[1], "/v1/videos?limit=0"), (apps[1], "/nope"), (apps[0], "/v1/videos")):
        _validator(whole, "ErrorResponse").validate(app.test_client().get(path).get_json())


def test_the_committed_document_is_up_to_date() -> None:
    """It describes the real model; `python docs/generate.py` writes it."""
    committed = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
    assert committed == document(load_profile("mochi-1"))


def _described(node: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield path, name, value
            yield from _described(value, f"{path}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _described(value, f"{path}/{index}")


def test_limits_have_their_names_in_json_schema() -> None:
    """A range is `minimum` and `maximum`: generated clients ignore pydantic's own names."""
    whole = document(load_profile("demo"))
    foreign = {"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length"}
    assert not [(path, name) for path, name, _ in _described(whole) if name in foreign]
    limit = whole["components"]["parameters"]["limit"]["schema"]
    assert (limit["minimum"], limit["maximum"]) == (1, 100)


def test_generators_know_a_type_for_every_field() -> None:
    """No field may have any value, and one that may not be sent is not a property."""
    whole = document(load_profile("demo"))
    typed = {"type", "$ref", "anyOf", "oneOf"}
    untyped = [
        f"{path}/{name}"
        for path, name, value in _described(whole)
        if path.endswith("/properties") or name in {"schema", "items"}
        if not isinstance(value, dict) or not typed & value.keys()
    ]
    assert not untyped


def _bodies(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The media type and the schema of each request body."""
    for _, _, operation in _operations(whole):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = content["schema"]
            name = schema.get("items", schema)["$ref"].rpartition("/")[2]
            yield media, whole["components"]["schemas"][name]


def test_no_field_of_a_request_has_a_default() -> None:
    """Generated clients send defaults, and some fields exclude each other: size and width."""
    bodies = list(_bodies(document(load_profile("demo"))))
    assert len(bodies) == 9
    for _, schema in bodies:
        assert not [name for _, name, _ in _described(schema) if name == "default"]


def test_every_field_of_a_response_is_required() -> None:
    """It is always present, if only as null, so that clients need not check for it."""
    schemas = document(load_profile("demo"))["components"]["schemas"]
    for name in (
        "Video",
        "VideoList",
        "DeletedVideo",
        "Model",
        "ModelList",
        "Span",
        "ErrorResponse",
    ):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]), name


def test_each_encoding_of_a_body_has_its_own_type() -> None:
    """Generated clients choose the encoding by the type, and name types by their titles."""
    whole = document(load_profile("demo"))
    schemas = whole["components"]["schemas"]
    assert {name: schema["title"] for name, schema in schemas.items()} == {n: n for n in schemas}
    for path in ("/v1/videos", "/v1/videos/{video_id}/remix"):
        content = whole["paths"][path]["post"]["requestBody"]["content"]
        assert len({media["schema"]["$ref"] for media in content.values()}) == len(content) == 3


def test_titles_are_unique() -> None:
    """Wherever they are: generators name types by them."""
    found = _described(document(load_profile("mochi-1")))
    titles = [value for _, name, value in found if name == "title" and isinstance(value, str)]
    assert len(titles) == len(set(titles))
