"""Allowed methods of each path: those of the whole API, which two functions implement."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound


def answer_for_all_methods(app: Flask, paths: dict[str, dict[str, Any]]) -> None:
    """Answer OPTIONS, and send 405 and `Allow`, by `paths` of the document instead of by `app`."""
    known = [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), _methods(item))
        for path, item in paths.items()
    ]

    def allowed() -> list[str]:
        for pattern, methods in known:
            if pattern.fullmatch(request.path):
                return methods
        return []

    @app.before_request
    def path_of_the_other_function() -> Response | None:
        methods = allowed() if isinstance(request.routing_exception, NotFound) else []
        if methods and request.method == "OPTIONS":
            return Response(headers={"Allow": ", ".join(methods)})
        if methods and request.method not in methods:
            raise MethodNotAllowed(methods)
        return None

    @app.after_request
    def complete(response: Response) -> Response:
        methods = allowed() if "Allow" in response.headers else []
        if methods:
            response.headers["Allow"] = ", ".join(methods)
        return response


def _methods(item: dict[str, Any]) -> list[str]:
    described = {method.upper() for method in item}
    if "GET" in described:
        described.add("HEAD")
    return sorted(described | {"OPTIONS"})
