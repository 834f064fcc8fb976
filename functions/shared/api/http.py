"""The Flask app of each function: JSON errors, request ids, health checks and metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from flask import Flask, Response, g, jsonify, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    ProcessCollector,
    generate_latest,
)
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.exceptions import HTTPException

from functions.shared import metrics, request_ids
from functions.shared.accounts.file import AccountsFile
from functions.shared.api.callers import refuse_cross_origin_writes, refuse_unknown_hosts
from functions.shared.api.cors import allow_origins
from functions.shared.api.request_body import BodyReceiver
from functions.shared.errors import InvalidRequest, KinoraError, NotFound, TooLarge, Unavailable

log = logging.getLogger(__name__)

# openai-python gives up instead of waiting longer.
MAX_RETRY_AFTER: Final = 120
# A form of many tiny parts costs more than its bytes, and no request has nearly as many fields.
MAX_FORM_PARTS: Final = 100
# How much of an unknown path an error repeats.
_MAX_PATH: Final = 200
# Every function has these. The gateway does not route to them, and the OpenAPI document leaves them
# out; `/health` is for callers too.
OPERATOR_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
# What asks for these does so every few seconds, so they are not logged.
PROBED_ROUTES: Final = OPERATOR_ROUTES | {"/health"}


def new_app(
    name: str,
    *,
    check: Callable[[], None],
    check_health: Callable[[], None] | None = None,
    answers_without_nats: bool = False,
    max_body_bytes: int,
    registry: CollectorRegistry,
    allowed_hosts: str | None = None,
    cors_origins: str | None = None,
    accounts: AccountsFile | None = None,
    authenticate: Callable[[str | None], object] = lambda _: None,
    explain_large: Callable[[bytes], KinoraError | None] = lambda _: None,
) -> Flask:
    """A Flask app with everything that the functions have in common.

    Args:
        name: the function's name, for logs and metrics.
        check: returns if requests can be served, and raises a `KinoraError` that says why not.
        check_health: as `check`, for `/health` alone; `check` if None.
        answers_without_nats: once `check` has succeeded, the function stays ready: what it can't
            serve, it answers with an error. docs/health.md says which functions do.
        max_body_bytes: larger bodies get 413, or the error of `explain_large`.
        registry: where the function's metrics are collected.
        allowed_hosts: the setting `ALLOWED_HOSTS`.
        cors_origins: the setting `CORS_ORIGINS`.
        accounts: what becomes of changes of it is told by `/readyz` and a metric.
        authenticate: raises a `KinoraError` for an `Authorization` header that may not send a body.
        explain_large: see `BodyReceiver`.
    """
    app = Flask(name)
    app.config["MAX_FORM_PARTS"] = MAX_FORM_PARTS
    # `/v1//videos` gets 404 rather than a redirect, which a POST would not survive.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of DefaultJSONProvider
    bodies = BodyReceiver(max_body_bytes, authenticate, explain_large)
    ProcessCollector(registry=registry)
    seconds = metrics.HTTP_SECONDS.on(registry)

    @app.before_request
    def begin() -> None:
        g.request_id = request_ids.request_id(request.headers.get(request_ids.HEADER, ""))
        g.started = time.perf_counter()
        # This thread has served other requests before.
        clear_contextvars()
        bind_contextvars(**{request_ids.LOG_FIELD: g.request_id})
        bodies.receive()

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers[request_ids.HEADER] = g.request_id
        route = request.url_rule.rule if request.url_rule else "none"
        passed = time.perf_counter() - g.started
        seconds.labels(name, route, request.method, response.status_code).observe(passed)
        if route not in PROBED_ROUTES:
            # Without the query, which may search for a part of a prompt.
            path = quote(request.path[:_MAX_PATH])
            text = "%s %s %d"
            fields = {"seconds": round(passed, 6)}
            log.info(text, request.method, path, response.status_code, extra=fields)
        return response

    refuse_unknown_hosts(app, allowed_hosts)
    refuse_cross_origin_writes(app, cors_origins)
    if cors_origins is not None:
        allow_origins(app, cors_origins)
    _add_error_handlers(app, metrics.HTTP_ERRORS.on(registry))
    _add_readiness(app, check, accounts, stays_ready=answers_without_nats)
    if accounts is not None:
        in_use = metrics.ACCOUNTS_FILE_IN_USE.on(registry)
        in_use.set_function(lambda: accounts.problem is None)
    _add_operator_routes(app, check_health or check, registry)
    return app


def _add_error_handlers(app: Flask, errors: Counter) -> None:
    def respond(error: KinoraError) -> Response:
        errors.labels(app.name, error.code).inc()
        return _error_response(error)

    @app.errorhandler(KinoraError)
    def known(error: KinoraError) -> Response:
        if error.status >= 500:  # noqa: PLR2004 - the class of server errors
            log.warning("%s %s: %s", request.method, request.path, error.message)
        return respond(error)

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        response = respond(_from_http_exception(error))
        response.status_code = error.code or 500
        for header, value in error.get_headers():
            if header == "Allow":
                response.headers[header] = value
        return response

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return respond(KinoraError())


def _from_http_exception(error: HTTPException) -> KinoraError:
    if error.code == TooLarge.status:
        return TooLarge(f"The form has too many parts: send at most {MAX_FORM_PARTS}")
    if error.code == NotFound.status:
        return NotFound(f"Nothing is at {request.path[:_MAX_PATH]}; videos are at /v1/videos")
    kind = InvalidRequest if error.code and error.code < 500 else KinoraError  # noqa: PLR2004 - as above
    return kind(error.description or error.name, code=error.name.lower().replace(" ", "_"))


def _error_response(error: KinoraError) -> Response:
    response = jsonify(error.body())
    response.status_code = error.status
    response.headers.update(error.headers)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(min(error.retry_after, MAX_RETRY_AFTER))
    return response


def _add_readiness(
    app: Flask, check: Callable[[], None], accounts: AccountsFile | None, *, stays_ready: bool
) -> None:
    was_ready = threading.Event()

    @app.get("/readyz")
    def readyz() -> dict[str, str] | Response:
        if not (stays_ready and was_ready.is_set()):
            try:
                check()
            except KinoraError as error:
                # Not raised: it would be logged at each probe.
                return _error_response(Unavailable(error.message))
            was_ready.set()
        if accounts is not None and accounts.problem is not None:
            # With the accounts of before, it can answer.
            return {"status": "ready", "warning": accounts.problem}
        return {"status": "ready"}


def _add_operator_routes(
    app: Flask, check_health: Callable[[], None], registry: CollectorRegistry
) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health", endpoint="getHealth")
    def health() -> dict[str, str] | Response:
        try:
            check_health()
        except KinoraError as error:
            return _error_response(Unavailable(error.message))
        return {"status": "available"}

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
