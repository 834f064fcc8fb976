"""After the warm-up, no request waits for the compiler."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from functions.shared.video.requests import ResolvedRequest
from tests import two_ranks
from tests.demo_engine import small_request


def requests() -> list[ResolvedRequest]:
    """Forty requests: sizes, lengths, texts of 2 to 256 tokens, guidance or none, both qualities.

    Among them are numbers of tokens, of the video or of a text, that equal another size: 5 heads,
    16 pairs of a head's channels, 160 channels, and 256 tokens of padding.
    """
    shapes = [("32x32", 7), ("32x32", 19), ("64x64", 7), ("160x64", 19), ("128x128", 19)]
    # With its end mark, a text has one token more than letters here.
    texts = ["a", "a a a a", "a " * 15, "a " * 400]
    negatives = ["", "a a a a"]
    guided = [
        {"size": size, "num_frames": frames, "prompt": text, "negative_prompt": negatives[n % 2]}
        for n, (text, (size, frames)) in enumerate(itertools.product(texts, shapes))
    ]
    unguided = [one | {"guidance_scale": 1.0} for one in guided]
    # In the order of the shapes, so that each text and negative text has both qualities.
    qualities = itertools.cycle(["exact", "exact", "fast"])
    return [
        small_request(**one, quality=quality, num_inference_steps=2)
        for one, quality in zip((*guided, *unguided), qualities, strict=False)
    ]


@pytest.mark.parametrize("ranks", [1, 2])
def test_nothing_is_compiled_after_the_warm_up(tmp_path: Path, ranks: int) -> None:
    """On no rank, in forty requests, whichever branch it computes."""
    assert len(requests()) == 40
    two_ranks.run(two_ranks.save_graph_counts, requests(), tmp_path, ranks=ranks)
    for rank in range(ranks):
        warm, after = map(int, (tmp_path / f"graphs-{rank}").read_text().split())
        # Of the last block and the others, for texts of no token, of one, and of more.
        assert warm == 6
        assert after == warm
