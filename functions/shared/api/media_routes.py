"""What callers get who send a picture, a video or sound, or ask for a video to be edited."""

from __future__ import annotations

from typing import Final, Literal, NoReturn

from flask import Flask, request

from functions.shared.api.accounts import Accounts
from functions.shared.errors import TextOnly
from functions.shared.video.text_only import media_in

# The OpenAI API's operations on media that are there, or are uploaded.
_PATHS: Final = {
    "POST": ("/v1/videos/edits", "/v1/videos/extensions", "/v1/videos/characters"),
    "GET": ("/v1/videos/characters/<name>",),
}
MEDIA_ENDPOINT: Final = "media"


def add_media_routes(app: Flask, accounts: Accounts, method: Literal["GET", "POST"]) -> None:
    """Answer those operations of the OpenAI API that have no meaning here: they say why."""

    def media(name: str = "") -> NoReturn:  # noqa: ARG001 - a part of the path
        accounts.account(request.headers.get("Authorization"))
        raise _unsupported()

    for path in _PATHS[method]:
        app.add_url_rule(path, MEDIA_ENDPOINT, media, methods=[method])


def explain_large_body(start: bytes) -> TextOnly | None:
    """The error for a body beyond the limit that starts with `start`, if it carries media."""
    if request.endpoint == MEDIA_ENDPOINT:
        return _unsupported()
    return media_in(request.mimetype, start)


def _unsupported() -> TextOnly:
    return TextOnly(
        "This model makes videos from text only: it can't edit or extend a video, and knows no "
        "characters. Create a video with POST /v1/videos, or with POST /v1/videos/{id}/remix one "
        "with the same settings and seed.",
        code="unsupported_operation",
    )
