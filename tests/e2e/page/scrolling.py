"""How much work a frame of the page is while it scrolls, however busy the machine is."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Final

from playwright.sync_api import CDPSession, Page

from tests import patience

# Scrolls like a wheel, three screens in sixty frames, and returns the milliseconds between frames.
_SCROLL: Final = """
(frames) => new Promise((resolve) => {
  const gaps = [];
  let last = performance.now();
  const step = (now) => {
    gaps.push(now - last);
    last = now;
    window.scrollBy(0, innerHeight * 3 / 60);
    if (gaps.length < frames + 2) requestAnimationFrame(step);
    else resolve(gaps.slice(2));  // the first ones have waited for this call
  };
  requestAnimationFrame(step);
})
"""
# Work of the same kind that is always the same: lays out two hundred plain boxes in each frame.
_REFERENCE: Final = """
(frames) => new Promise((resolve) => {
  const step = () => {
    const list = document.createElement('div');
    list.style.cssText = 'position: fixed; inset: 0; visibility: hidden';
    for (let n = 0; n < 200; n += 1) {
      const box = document.createElement('div');
      box.append(document.createElement('span'), `take ${n} of a small harbour town`);
      list.append(box);
    }
    document.body.append(list);
    list.offsetHeight;
    list.remove();
    if ((frames -= 1) > 0) requestAnimationFrame(step);
    else resolve();
  };
  requestAnimationFrame(step);
})
"""
_TURNS: Final = 8
_SCROLL_FRAMES: Final = 20
_REFERENCE_FRAMES: Final = 10
# 60 frames a second, plus the clock error of a browser without a screen.
_FRAME_MS: Final = 16.7 + 0.3
# What a frame may cost, in frames of the reference workload. Half of one is usual.
_MOST_WORK: Final = 1.5
# Below this slowness, the machine serves all processes that take part in a frame at once.
_IDLE: Final = 1.2


@dataclass(frozen=True)
class Scrolling:
    """What was measured while the page scrolled for some hundred frames.

    Attributes:
        gap: the median time between frames, in ms.
        work: the processor time of the page's thread, in ms a frame.
        reference: the same of a reference workload, in turns with the page's. Other programs that
            use the same caches and cores slow down both, so only their ratio tells about the page.
        slowness: of the machine meanwhile.
    """

    gap: float
    work: float
    reference: float
    slowness: float

    @property
    def is_smooth(self) -> bool:
        """Whether frames cost little, and came 60 times a second if the machine let them."""
        allowed = 1.0 if self.slowness < _IDLE else 2 * self.slowness
        return self.work < _MOST_WORK * self.reference and self.gap <= allowed * _FRAME_MS


def scroll_and_measure(page: Page) -> Scrolling:
    """Scroll the page down."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    since = patience.now()
    gaps: list[float] = []
    work = reference = 0.0
    for _ in range(_TURNS):
        start = _busy_ms(session)
        gaps += page.evaluate(_SCROLL, _SCROLL_FRAMES)
        middle = _busy_ms(session)
        page.evaluate(_REFERENCE, _REFERENCE_FRAMES)
        work += middle - start
        reference += _busy_ms(session) - middle
    slowness = patience.now().slowness(since)
    session.detach()
    frames = _TURNS * _REFERENCE_FRAMES
    return Scrolling(statistics.median(gaps), work / len(gaps), reference / frames, slowness)


def _busy_ms(session: CDPSession) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(float(m["value"]) for m in metrics if m["name"] == "TaskDuration")
