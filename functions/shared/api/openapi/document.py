"""The whole document, and the route that serves it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from flask import Flask, Response

from functions.shared.api.openapi.components import components
from functions.shared.api.openapi.methods import answer_for_all_methods
from functions.shared.api.openapi.operation import Json
from functions.shared.api.openapi.other_operations import other_operations
from functions.shared.api.openapi.video_operations import video_operations
from functions.shared.api.openapi.webhooks import WEBHOOKS
from functions.shared.api.video_object import Video, queued_video
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest

_ABOUT: Final = """Text to video: the OpenAI Videos API, and more.

Every answer has an `x-request-id`, and every error is JSON in one form. A method that a path does
not have is answered with 405, and every GET is answered as HEAD too. A request that the HTTP
server can't read is answered with 400, 414, 417, 431 or 501 in the same form, and the connection
ends; only the gateway's own 400 and 431 (headers above a megabyte) are plain text. With
`CORS_ORIGINS`, web pages of other origins may use every route."""


def document(profile: Profile) -> Json:
    """The OpenAPI document of a deployment whose model has this profile."""
    paths: Json = {}
    for operation in (*video_operations(_example(profile)), *other_operations()):
        paths.setdefault(operation.path, {})[operation.method] = operation.rendered()
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Kinora",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"api_key": []}],
        "tags": [{"name": name} for name in ("videos", "events", "models", "operations")],
        "paths": paths,
        "webhooks": WEBHOOKS,
        "components": components(profile),
    }
    _prune(whole)
    return whole


def add_document(app: Flask, profile: Profile) -> None:
    """Serve the document at `GET /openapi.json`, and let `app` know what other paths there are."""
    body, paths = _served(profile)
    answer_for_all_methods(app, paths)

    @app.get("/openapi.json", endpoint="getOpenApiDocument")
    def openapi() -> Response:
        return Response(body, mimetype="application/json")


@cache
def _served(profile: Profile) -> tuple[str, Json]:
    """The document as text, and its paths."""
    whole = document(profile)
    return json.dumps(whole), whole["paths"]


def _example(profile: Profile) -> Video:
    video_id = "video_0123456789abcdef0123456789abcdef"
    request = VideoRequest(prompt=profile.example_prompts[0], seed=7)
    resolved = ResolvedRequest.resolve(request, profile, "default", video_id)
    # 21 November 2026, noon.
    return queued_video(video_id, 1795262400 * NANOSECONDS, resolved, max_age_days=30)


def _prune(whole: Json) -> None:
    """Leave out the components that nothing refers to."""
    kept: set[tuple[str, str]] = set()
    waiting: list[Any] = [{k: v for k, v in whole.items() if k != "components"}]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                kind, name = reference.split("/")[-2:]
                if (kind, name) not in kept:
                    kept.add((kind, name))
                    waiting.append(whole["components"][kind][name])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    for kind, named in whole["components"].items():
        if kind != "securitySchemes":
            whole["components"][kind] = {n: c for n, c in named.items() if (kind, n) in kept}
