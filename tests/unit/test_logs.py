"""Log lines: what they consist of, as JSON and as text."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from gunicorn.app.wsgiapp import WSGIApplication
from structlog.contextvars import bound_contextvars

from functions.shared.api.gunicorn_log import Logger
from functions.shared.logs import LogFormat, log_formatter


def _record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    logger = logging.getLogger("functions.submit.routes")
    return logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, args, None, extra=fields
    )


def _json(record: logging.LogRecord) -> dict[str, Any]:
    (line,) = log_formatter("submit", LogFormat.JSON).format(record).splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_json_line_has_the_context_and_its_own_fields() -> None:
    """Those of the line itself are the more specific ones."""
    with bound_contextvars(request_id="req_1", account="acme", video_id="outer"):
        line = _json(_record("%s requested", "video", video_id="video_1"))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "message": "video requested",
        "level": "warning",
        "logger": "functions.submit.routes",
        "function": "submit",
        "request_id": "req_1",
        "account": "acme",
        "video_id": "video_1",
    }


def test_a_traceback_is_a_field_of_the_one_line() -> None:
    """So that a collector of logs keeps it together."""
    record = _record("failed")
    try:
        int("a\nb")
    except ValueError:
        record.exc_info = sys.exc_info()
    exception = _json(record)["exception"]
    assert exception.startswith("Traceback")
    assert exception.endswith("'a\\nb'")


@pytest.mark.parametrize("value", [object(), "\udc80", b"\xff"])
def test_no_value_makes_a_line_that_is_not_json(value: object) -> None:
    """Whatever a program logs."""
    assert "field" in _json(_record("odd: %r", value, field=value))


def test_a_line_of_text_begins_with_its_time_and_names_its_fields() -> None:
    """As `local.follow` reads it; a caller can't write a line of its own into it."""
    with bound_contextvars(account="acme"):
        text = log_formatter("submit", LogFormat.TEXT).format(_record("hello", path="a\nb"))
    time, rest = text.split(" ", 1)
    assert time.endswith("Z")
    assert rest == "[warning] hello [functions.submit.routes] account=acme path='a\\nb'"


def test_gunicorns_lines_have_the_same_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its master process too, which creates no function."""
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setattr(sys, "argv", ["gunicorn", "-c", "functions/status/gunicorn.conf.py"])
    cfg = WSGIApplication().cfg
    assert cfg.logger_class is Logger
    handlers = Logger(cfg).error_log.handlers
    assert handlers
    for handler in handlers:
        line = json.loads(handler.format(_record("Booting worker")))
        assert (line["message"], line["function"]) == ("Booting worker", "status")
