"""The engine's speed compared with stock diffusers, on one GPU (or, with --smoke, anywhere).

    python -m benchmarks.engine             # Mochi 1 at full size; needs a CUDA GPU with 80 GB
    python -m benchmarks.engine --smoke     # the same program with a tiny model, for CPUs

Prints a line of JSON for each figure as soon as it is known, the most valuable first, and ends
within --budget. A part that fails or is slow is named, and the others go on. Needs only torch,
diffusers and transformers; compiled figures also need a C compiler. Weights are random: see
`engine_model.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.engine_summary import summarize
from benchmarks.supervised_parts import Figure, Part, run_parts

# The longest, and the most of what a user waits for, first.
FRAMES: Final = (163, 85, 31)
SMOKE_FRAMES: Final = (7,)
# Kept of the budget for stopping and for the summary.
STOPPING_SECONDS: Final = 5.0


def plan(options: argparse.Namespace) -> Iterator[Part]:
    """The parts, the most valuable first."""
    frames, smoke = (SMOKE_FRAMES if options.smoke else FRAMES), options.smoke
    longest = frames[:1]
    no_compiler = _why_not_compiled(options)

    def part(name: str, target: str, limit: float, unable: str | None = None, **more: Any) -> Part:
        arguments = {"smoke": smoke, **more}
        return Part(name, f"benchmarks.engine_{target}", arguments, limit, unable)

    def compiled(name: str, lengths: tuple[int, ...], **more: Any) -> Part:
        return part(
            name, "steps:measure_ours", 200, no_compiler, frames=lengths, compiled=True, **more
        )

    def decoding(name: str, who: str, **more: Any) -> Part:
        return part(name, f"decoding:measure_{who}", 90, **more)

    yield compiled("step-compiled", frames)
    yield part("peak", "bench:measure_peak", 60)
    yield part("step-eager", "steps:measure_ours", 120, frames=longest, compiled=False)
    yield part("step-stock", "steps:measure_stock", 120, frames=frames, branches=1)
    yield part("attention", "attention:measure_attention", 60)
    yield decoding("decoding", "ours", frames=longest, channels_last=False)
    yield decoding("decoding-channels-last", "ours", frames=longest, channels_last=True)
    yield decoding("decoding-short", "ours", frames=frames[-1:], channels_last=False)
    yield decoding("decoding-short-stock", "stock", frames=frames[-1:], tiled=False)
    yield part("text", "text:measure_text", 90, disk=options.disk)
    yield compiled("step-static-shapes", longest, dynamic=False)
    yield compiled("step-not-deterministic", longest, deterministic=False)
    yield decoding("decoding-stock", "stock", frames=longest, tiled=True)
    yield part("step-stock-batched", "steps:measure_stock", 120, frames=longest, branches=2)


def _why_not_compiled(options: argparse.Namespace) -> str | None:
    """Why the parts that compile are skipped; a GPU's compiler, too, builds its launchers in C."""
    if options.no_compile:
        return "--no-compile"
    if options.smoke and not options.compile:
        return "--smoke without --compile"
    if not any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))):
        return "there is no C compiler"
    return None


def main() -> None:
    """Run from the command line."""
    options = _options()
    began, figures = time.monotonic(), list[Figure]()

    def emit(figure: Figure) -> None:
        rounded = {name: _rounded(value) for name, value in figure.items()}
        print(json.dumps({"at": round(time.monotonic() - began, 1), **rounded}), flush=True)
        figures.append(figure)

    run_parts(list(plan(options)), options.budget - STOPPING_SECONDS, emit)
    for figure in list(summarize(figures)):
        emit(figure)


def _rounded(value: Any) -> Any:
    """Four digits are more than a run on another day repeats."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="use a tiny model, also on CPUs")
    parser.add_argument("--budget", type=float, default=540, help="seconds in all")
    parser.add_argument("--compile", action="store_true", help="compile the tiny model, too")
    parser.add_argument("--no-compile", action="store_true", help="compile nothing")
    parser.add_argument("--disk", default=tempfile.gettempdir(), help="folder to load weights from")
    return parser.parse_args()


if __name__ == "__main__":
    main()
