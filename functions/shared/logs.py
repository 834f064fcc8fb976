"""Log lines on standard error: one JSON object each in a cluster, plain text in `make run`.

What a line is about is in fields of its own: `function`, `request_id`, `account`, `video_id`,
`attempt` and `worker`, as far as they are known. Code binds them with structlog's
`bound_contextvars` for a block, and logs with the standard library's `logging`.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final

import structlog
from structlog.types import EventDict, Processor, WrappedLogger


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    TEXT = "text"


def configure_logging(function: str, log_format: LogFormat) -> None:
    """Log to standard error; call it before anything that logs from a thread of its own.

    Idempotent: it changes nothing where logging is already configured, as in tests.
    """
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(log_formatter(function, log_format))
    logging.basicConfig(handlers=[handler])  # libraries' warnings, and not each request of httpx
    logging.getLogger("functions").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


def log_formatter(function: str, log_format: LogFormat) -> logging.Formatter:
    """A formatter for all lines of one function, those of libraries and of gunicorn included."""

    def add_function(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        line["function"] = function
        return line

    fields: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format is LogFormat.JSON:  # as text, each function has a file of its own
        fields.append(add_function)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=fields,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_RENDERERS[log_format],
        ],
    )


_RENDERERS: Final[dict[LogFormat, list[Processor]]] = {
    LogFormat.JSON: [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(),
    ],
    LogFormat.TEXT: [
        structlog.dev.ConsoleRenderer(
            colors=False,
            pad_event_to=0,
            pad_level=False,
            exception_formatter=structlog.dev.plain_traceback,
        )
    ],
}
