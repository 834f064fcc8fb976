"""Runs one sweep with a minimum age of zero: `python -m tests.e2e.faults.sweep_once`."""

from __future__ import annotations

import logging

from functions.dispatch import sweeper
from functions.shared.config import load_settings
from functions.shared.storage import S3Store
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.video.profiles import load_profile


def main() -> None:
    """Sweep the streams and the bucket that the environment names."""
    logging.basicConfig(level=logging.INFO)
    settings = load_settings()
    bus = JetStream(settings.nats_url)
    # The default of an hour protects uploads in progress; there are none when this runs.
    sweeper.OBJECT_AGE = 0  # type: ignore[misc]  # a constant everywhere else
    ledger = Ledger(bus, takeover_grace=0)
    store = S3Store.from_settings(settings)
    sweeper.Sweeper(
        bus, ledger, load_profile("demo"), store, max_age_days=settings.max_age_days
    ).sweep()


if __name__ == "__main__":
    main()
