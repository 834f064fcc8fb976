"""How long an engine takes until it is ready, with an empty compile cache and with a full one.

    python -m benchmarks.engine_start [--model FOLDER] [--ranks 1]

Compiles the model, by default the demo, in a new process each time. Without a GPU it needs a C++
compiler. Besides the time, it prints the processor time of the processes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from functions.generate.engine.parent.engine import Engine
from local.stack import DEFAULT_MODEL

# Longer than any model takes to load and compile.
_LIMIT = 3600.0


def main() -> None:
    """Print a row for each start."""
    options = _options()
    print("| start | ready after, s | processor time, s | cache, MB |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            before = _processor_seconds()
            ready = _seconds_until_ready(options.model, options.ranks, folder)
            spent = _processor_seconds() - before
            size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
            print(f"| {name} | {ready:.1f} | {spent:.1f} | {size / 1e6:.1f} |", flush=True)


def _seconds_until_ready(model: str, ranks: int, cache: str) -> float:
    engine = Engine(model, hang_seconds=_LIMIT, ranks=ranks, compiled=True, compile_cache=cache)
    began = time.monotonic()
    engine.start()
    try:
        if not engine.wait(_LIMIT):
            raise SystemExit(engine.failure)
        return time.monotonic() - began
    finally:
        engine.close()


def _processor_seconds() -> float:
    """Of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--ranks", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
