"""Draws how the figures of `lists.py` grow with the number of videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WIDTH: Final = 220
HEIGHT: Final = 120
MARGIN: Final = 40
OURS: Final = "#2563eb"
BASELINE: Final = "#9ca3af"


@dataclass(frozen=True)
class Point:
    """The figures of one number of videos.

    Attributes:
        videos: how many there are.
        replay: seconds of processor time until ready.
        consumer: the same of a bare consumer.
        memory: MiB of resident memory, at most.
        search: milliseconds of processor time of a search for two characters that nothing has.
        scan: the same of a scan of all prompts.
    """

    videos: int
    replay: float
    consumer: float
    memory: float
    search: float
    scan: float


def drawing(points: list[Point]) -> str:
    """Three small charts side by side, as SVG; blue is `status`, grey the baseline."""
    charts = [
        ("Replay, s of processor time", [p.replay for p in points], [p.consumer for p in points]),
        ("Memory, MiB", [p.memory for p in points], []),
        ("q=zz, ms of processor time", [p.search for p in points], [p.scan for p in points]),
    ]
    videos = [point.videos for point in points]
    parts = [
        _chart(MARGIN + n * (WIDTH + 2 * MARGIN), title, videos, ours, baseline)
        for n, (title, ours, baseline) in enumerate(charts)
    ]
    width, height = len(charts) * (WIDTH + 2 * MARGIN), HEIGHT + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="11" fill="#6b7280">\n{"".join(parts)}</svg>\n'
    )


def _chart(
    left: int, title: str, videos: list[int], ours: list[float], baseline: list[float]
) -> str:
    top, bottom = MARGIN, MARGIN + HEIGHT
    most, widest = max([*ours, *baseline]), max(videos)
    lines = [f'<text x="{left}" y="{top - 14}">{title}</text>\n']
    lines.append(
        f'<path d="M{left} {top}V{bottom}H{left + WIDTH}" stroke="#d1d5db" fill="none"/>\n'
    )
    for values, colour in ((baseline, BASELINE), (ours, OURS)):
        places = [
            (left + WIDTH * number / widest, bottom - HEIGHT * value / most)
            for number, value in zip(videos, values, strict=False)
        ]
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
        if values:
            lines.append(
                f'<polyline points="{path}" stroke="{colour}" stroke-width="2" fill="none"/>\n'
            )
        # The figures of few videos would cover each other.
        lines += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>\n' for x, y in places]
        lines += [
            f'<text x="{x:.0f}" y="{y - 6:.0f}" text-anchor="end">{value:.3g}</text>\n'
            for (x, y), value in list(zip(places, values, strict=True))[-1:]
        ]
    for number in videos:
        x = left + WIDTH * number / widest
        label = f"{number / 1e6:g}M" if number >= 1_000_000 else f"{number // 1000}k"
        lines.append(f'<text x="{x:.0f}" y="{bottom + 14}" text-anchor="middle">{label}</text>\n')
    return "".join(lines)
