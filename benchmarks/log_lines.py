"""What a log line costs, in microseconds of processor time.

    python -m benchmarks.log_lines [--lines 20000]

The baseline is the standard library's formatter, which writes neither time nor fields.
"""

from __future__ import annotations

import argparse
import io
import logging
import time

from structlog.contextvars import bound_contextvars

from functions.shared.logs import LogFormat, log_formatter


def main() -> None:
    """Print a row for each format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=20_000)
    count = parser.parse_args().lines
    formatters = {"baseline": logging.Formatter("%(levelname)s %(name)s: %(message)s")} | {
        str(log_format): log_formatter("submit", log_format) for log_format in LogFormat
    }
    print("| format | a line, µs |")
    print("|---|---|")
    for name, formatter in formatters.items():
        print(f"| {name} | {_microseconds(formatter, count):.0f} |")


def _microseconds(formatter: logging.Formatter, count: int) -> float:
    """Of an access line, with the fields that it has."""
    logger = logging.getLogger(f"{__name__}.{id(formatter)}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    fields = {"request_id": f"req_{'a' * 32}", "account": "acme", "video_id": f"video_{'b' * 32}"}
    with bound_contextvars(**fields):
        begun = time.process_time()
        for _ in range(count):
            logger.info("%s %s %d", "POST", "/v1/videos", 200, extra={"seconds": 0.001234})
        return (time.process_time() - begun) / count * 1e6


if __name__ == "__main__":
    main()
