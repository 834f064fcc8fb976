"""Which requests are the same request, sent again."""

from __future__ import annotations

from typing import Any

import pytest

from functions.shared.streams.validation import check_body, check_requested
from functions.shared.video.events import EventName
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import RemixedRequest, ResolvedRequest
from functions.submit.request_hash import hash_request

EQUAL: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"seed": "7"}, {"seed": 7}),
    ({"seconds": "1"}, {"seconds": 1}),
    ({"seconds": "01.50"}, {"seconds": 1.5}),
    ({"guidance_scale": "6"}, {"guidance_scale": 6.0}),
    ({"num_frames": "25"}, {"num_frames": 25}),
    ({"negative_prompt": ""}, {}),
    ({"negative_prompt": " \u200b\n"}, {}),
    ({"model": ""}, {}),
    ({"metadata": {}}, {}),
    ({"metadata": {"a": "1", "b": ""}}, {"metadata": {"b": "", "a": "1"}}),
    ({"size": "96x64"}, {"width": 96, "height": "64"}),
    ({"size": "0096x64", "width": 96}, {"size": "96x64"}),
    ({"seconds": "1"}, {"num_frames": 13}),
    ({"seconds": "1", "num_frames": 13}, {"num_frames": 13}),
    ({"seconds": "4", "num_frames": 13}, {"num_frames": 13}),
    ({"user": ""}, {}),
    ({"n": "1", "num_outputs_per_prompt": 1, "generator_device": "cuda"}, {}),
]
DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"prompt": "x"}, {"prompt": "y"}),
    ({"seed": 0}, {}),
    ({"guidance_scale": 0}, {}),
    ({"seconds": "1"}, {"seconds": "1.5"}),
    ({"metadata": {"a": ""}}, {}),
    ({"size": "96x64"}, {"size": "64x96"}),
    ({"width": 96}, {"width": 96, "height": 64}),
    ({"user": "ann"}, {"user": "ben"}),
    ({"quality": "fast"}, {}),
]


def _hash(fields: dict[str, Any]) -> str:
    request = check_body({"prompt": "x", **fields})
    resolved = ResolvedRequest.resolve(request, load_profile("demo"), "a", "v")
    return hash_request(request, resolved.num_frames)


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_requests_have_equal_hashes_in_any_encoding(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Numbers as text, empty and absent, `size` and its sides, `seconds` and its frames."""
    assert _hash(one) == _hash(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_requests_have_different_hashes(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """A zero is a value, and not an absent field."""
    assert _hash(one) != _hash(other)


def test_requests_that_are_stored_keep_their_hashes() -> None:
    """A field that was added later does not count while it is absent."""
    stored = "62152ffd18b07649ffbe9133d57792d202d180b638780dd55bc9065c71158d84"
    assert _hash({"size": "96x64", "seed": 7}) == stored


def test_an_event_has_the_hash_of_the_same_request_over_http() -> None:
    """Its own field `request_hash` does not count."""
    data = {"prompt": "x", "width": 96, "height": 64, "seconds": 1, "request_hash": "0" * 64}
    event = check_requested(EventName.REQUESTED.type, data)
    assert hash_request(event, 13) == _hash({"size": "96x64", "seconds": "1"}) != "0" * 64


def test_fields_whose_empty_value_means_something_are_kept() -> None:
    """Empty metadata of a remix replace those of its source; without any, they are kept."""
    none, empty = RemixedRequest(prompt="x"), RemixedRequest(prompt="x", metadata={})
    assert hash_request(none, None) == hash_request(empty, None)
    assert hash_request(none, None, kept={"metadata"}) != hash_request(
        empty, None, kept={"metadata"}
    )
