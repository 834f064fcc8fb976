"""What follows from the figures of `engine.py`: shares, comparisons with stock, a whole video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from benchmarks.supervised_parts import Figure

STEPS: Final = 64  # Mochi's default


def summarize(figures: Sequence[Figure]) -> Iterator[dict[str, Any]]:
    """Figures that are computed from others, as far as these were measured.

    - `comparison`: how many times as long stock takes, at one branch a call, or for decoding; and
      the share of the matrix peak.
    - `video`: seconds on a replica with two GPUs: 2 x T5 + 64 x (a step of one branch) + decoding.
      Without the exchange of predictions between the GPUs (megabytes a step), and without the end
      of encoding the frames, most of which overlaps with decoding.
    """
    peak = next((one["tflops"] for one in figures if one.get("figure") == "matrix"), None)
    text = next((one["seconds"] for one in figures if one.get("figure") == "text"), None)
    steps, decoding = _fastest(figures, "step"), _fastest(figures, "decoding")
    for name, found in (("step", steps), ("decoding", decoding)):
        for (who, frames), ours in found.items():
            stock = found.get(("stock", frames))
            if who != "ours":
                continue
            yield {
                "figure": "comparison",
                "of": name,
                "frames": frames,
                "ours": ours["seconds"],
                "stock": stock["seconds"] if stock else None,
                "stock_by_ours": stock["seconds"] / ours["seconds"] if stock else None,
                "of_peak": ours["tflops"] / peak if peak else None,
            }
    for (who, frames), step in steps.items():
        decoded = decoding.get(("ours", frames))
        if who == "ours" and decoded and text is not None:
            seconds = 2 * text + STEPS * step["seconds"] + decoded["seconds"]
            yield {"figure": "video", "frames": frames, "seconds": seconds}


def _fastest(figures: Sequence[Figure], name: str) -> dict[tuple[str, int], Figure]:
    """The fastest of one branch, by who and frames; of ours, as the engine does it."""
    found: dict[tuple[str, int], Figure] = {}
    for one in figures:
        differs = not (one.get("deterministic", True) and one.get("dynamic", True))
        if one.get("figure") != name or one.get("branches", 1) != 1 or differs:
            continue
        key = (one["who"], one["frames"])
        if key not in found or one["seconds"] < found[key]["seconds"]:
            found[key] = one
    return found
