"""The whole document, and the route that serves it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from flask import Flask, Response

from functions.shared.api.openapi.components import components
from functions.shared.api.openapi.content_operations import content_operations
from functions.shared.api.openapi.event_operations import event_operations
from functions.shared.api.openapi.methods import answer_for_all_methods
from functions.shared.api.openapi.operation import Json
from functions.shared.api.openapi.service_operations import service_operations
from functions.shared.api.openapi.video_operations import video_operations
from functions.shared.api.openapi.webhooks import WEBHOOKS
from functions.shared.api.video_object import queued_video
from functions.shared.api.video_schema import Video
from functions.shared.timestamps import NANOSECONDS
from functions.shared.video.profiles import Profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest

_ABOUT: Final = """Text to video: the OpenAI Videos API, and more.

Every response has an `x-request-id`, and every error is JSON in the same form. A method that a path
does not support gets 405, and every path that supports GET supports HEAD. A request that the HTTP
server can't parse gets 400, 414, 417, 431 or 501 in the same form, and the connection closes. Only
the gateway's own 400 and 431 (headers above 64 KiB) are plain text. With `CORS_ORIGINS`, web
pages of other origins may use every route."""

TAGS: Final = {
    "videos": "Create videos, follow them, and download their files.",
    "events": "CloudEvents in, a stream of them out, and the webhooks that Kinora sends.",
    "models": "The deployed model, with its limits and defaults.",
    "usage": "What accounts used.",
    "service": "This document, and the health of the service.",
}
SERVERS: Final = [
    {"url": "/", "description": "The gateway that this document was fetched from."},
    {"url": "http://127.0.0.1:8080", "description": "The gateway of `make run`."},
]


def document(profile: Profile) -> Json:
    """The OpenAPI document of a deployment whose model has this profile."""
    operations = (
        *video_operations(_example(profile)),
        *content_operations(),
        *event_operations(),
        *service_operations(),
    )
    paths: Json = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation.to_openapi()
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Kinora",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": SERVERS,
        "security": [{"api_key": []}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": paths,
        "webhooks": WEBHOOKS,
        "components": components(profile),
    }
    _prune(whole)
    return whole


def add_document(app: Flask, profile: Profile) -> None:
    """Serve the document at `GET /openapi.json`, and tell `app` which paths the API has."""
    body, paths = _serialized(profile)
    answer_for_all_methods(app, paths)

    @app.get("/openapi.json", endpoint="getOpenApiDocument")
    def openapi() -> Response:
        return Response(body, mimetype="application/json")


@cache
def _serialized(profile: Profile) -> tuple[str, Json]:
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
    """Remove the components that nothing references."""
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
