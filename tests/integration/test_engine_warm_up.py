"""After the warm-up, no request waits for the compiler."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from functions.shared.video.requests import ResolvedRequest
from tests import two_ranks
from tests.demo_engine import small_request


def requests() -> list[ResolvedRequest]:
    """Forty requests: sizes, lengths, and texts of 1 to 256 tokens, with guidance and without.

    Among them are numbers of tokens, of the video or of a text, that equal another size: 5 heads,
    16 pairs of a head, 160 channels, and 256 tokens of padding.
    """
    # Width, height and frames, with the numbers of tokens.
    shapes = [
        (32, 32, 7),
        (80, 16, 7),  # 10
        (16, 80, 1),  # 5
        (64, 64, 7),  # 32
        (64, 64, 1),  # 16
        (160, 64, 19),  # 160
        (128, 128, 19),  # 256
        (160, 16, 91),  # 160
    ]
    texts = ["a", "a a a", "a a a a", "a " * 15, "a " * 400]
    # A negative prompt, or none, or no guidance.
    branches = [("", 4.5), ("a", 4.5), ("a a a a", 9.0), ("a " * 300, 4.5), ("", 1.0)]
    return [
        small_request(
            prompt=text, negative_prompt=negative, guidance_scale=guidance, num_inference_steps=2
        ).model_copy(update={"width": shape[0], "height": shape[1], "num_frames": shape[2]})
        for shape, (text, (negative, guidance)) in zip(
            itertools.cycle(shapes), itertools.product(texts, branches), strict=False
        )
    ] + [
        small_request(num_inference_steps=2, negative_prompt=negative).model_copy(
            update={"width": width, "height": height, "num_frames": frames}
        )
        for width, height, frames in shapes
        for negative in ("", "a a")
    ][:15]


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
