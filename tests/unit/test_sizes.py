"""The nearest size that a model supports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from, tuples

from functions.shared.errors import InvalidRequest
from functions.shared.video.profiles import load_profile
from functions.shared.video.sizes import nearest_size, size_in_pixels

PROFILES = {name: load_profile(name) for name in ("mochi-1", "demo")}


@given(sampled_from(sorted(PROFILES)), tuples(integers(0, 99999), integers(0, 99999)))
def test_what_is_suggested_is_accepted(name: str, wanted: tuple[int, int]) -> None:
    """One correction is enough, whatever the size was."""
    profile = PROFILES[name]
    try:
        size_in_pixels("{}x{}".format(*wanted), (None, None), profile)
    except InvalidRequest as error:
        suggested = error.message.rpartition("Nearest: ")[2]
        accepted = size_in_pixels(suggested, (None, None), profile)
        assert accepted == nearest_size(wanted, profile)
    else:
        assert nearest_size(wanted, profile) == wanted


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [
        ((1280, 720), (848, 480)),
        ((1920, 1080), (848, 480)),
        ((1080, 1920), (480, 848)),
        ((848, 481), (848, 480)),
        ((640, 640), (624, 624)),
        ((1024, 1024), (624, 624)),
        ((500, 500), (496, 496)),
        ((320, 240), (336, 256)),
        ((5000, 10), (848, 256)),
    ],
)
def test_the_shape_is_kept(wanted: tuple[int, int], nearest: tuple[int, int]) -> None:
    """As nearly as the model allows, with as many pixels as asked for, or as it can make."""
    assert nearest_size(wanted, PROFILES["mochi-1"]) == nearest
