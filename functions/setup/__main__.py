"""Creates or updates the streams, the consumers and the bucket: `python -m functions.setup`.

Idempotent: run it at any time, and after every change of a setting.
"""

from __future__ import annotations

import asyncio
import logging

import nats.errors

from functions.setup.streams import set_up_streams_with_retries
from functions.shared.config import load_settings
from functions.shared.errors import Unavailable
from functions.shared.storage import S3Store
from functions.shared.streams.nats_address import without_password


def main() -> None:
    """Set everything up, or exit with one line that says what failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    settings = load_settings()
    try:
        asyncio.run(set_up_streams_with_retries(settings))
    except (nats.errors.Error, OSError, TimeoutError) as problem:
        raise SystemExit(
            f"NATS at {without_password(settings.nats_url)} can't be set up: {problem!r}"
        ) from None
    try:
        S3Store.from_settings(settings).create_bucket()
    except Unavailable as problem:
        raise SystemExit(problem.message) from None


if __name__ == "__main__":
    main()
