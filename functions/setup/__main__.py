"""The operator's commands.

`python -m functions.setup` creates or updates the streams, the consumers and the bucket. Run it at
any time, and after every change of a setting.

`python -m functions.setup restore-videos` gives the stream VIDEOS the events `completed` that it
has lost, from the records beside the videos' files. Run it at any time, also while Kinora runs.

Both are idempotent.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

import nats.errors

from functions.setup.restore import Restored, VideoRestorer
from functions.setup.streams import set_up_streams_with_retries
from functions.shared.config import Settings, load_settings
from functions.shared.errors import Unavailable
from functions.shared.storage import S3Store
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.nats_address import without_password

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] = ()) -> None:
    """Run one of the commands, or exit with one line that says what failed."""
    parser = argparse.ArgumentParser(
        prog="python -m functions.setup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=["restore-videos"])
    command = parser.parse_args(arguments).command
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    settings = load_settings()
    try:
        if command == "restore-videos":
            restore_videos(settings)
        else:
            set_up(settings)
    except Unavailable as problem:
        raise SystemExit(problem.message) from None


def set_up(settings: Settings) -> None:
    """Create or update the streams, the consumers and the bucket.

    Raises:
        Unavailable: the object store does not answer, or refuses.
        SystemExit: NATS does not.
    """
    try:
        asyncio.run(set_up_streams_with_retries(settings))
    except (nats.errors.Error, OSError, TimeoutError) as problem:
        raise SystemExit(
            f"NATS at {without_password(settings.nats_url)} can't be set up: {problem!r}"
        ) from None
    S3Store.from_settings(settings).create_bucket()


def restore_videos(settings: Settings) -> None:
    """Restore what can be, and say how many videos were restored or skipped, and why.

    Raises:
        Unavailable: NATS or the object store does not answer, or refuses.
    """
    bus = JetStream(settings.nats_url)
    try:
        restorer = VideoRestorer(
            bus,
            Ledger(bus, takeover_grace=settings.takeover_grace_seconds),
            S3Store.from_settings(settings),
            max_age_days=settings.max_age_days,
        )
        counts = restorer.restore_all()
    finally:
        bus.close()
    log.info("%d videos have objects in the bucket", counts.total())
    for outcome in Restored:
        log.info("%7d %s", counts[outcome], outcome)


if __name__ == "__main__":
    main(sys.argv[1:])
