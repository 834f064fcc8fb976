"""Validating requests and filling in their defaults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.errors import InvalidRequest
from functions.shared.streams.validation import check_body, check_requested
from functions.shared.video.limits import seconds_of
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, default_seed
from functions.shared.video.warnings import truncated, warnings_of

FULL = load_profile("mochi-1")


def _resolve(**fields: Any) -> ResolvedRequest:
    return ResolvedRequest.resolve(check_body({"prompt": "x", **fields}), FULL, "acme", "v1")


def test_only_the_prompt_is_required() -> None:
    """The profile has the other defaults, and the seed is derived from account and id."""
    resolved = _resolve()
    assert (resolved.size, resolved.num_frames, resolved.fps, resolved.seconds) == (
        "848x480",
        163,
        30,
        "5.4",
    )
    assert resolved.num_inference_steps == 64
    assert resolved.seed == default_seed("acme", "v1")
    assert resolved.model == "mochi-1-preview"


def test_resolving_is_idempotent() -> None:
    """Every function may resolve a stored request again without a change."""
    once = _resolve(
        seconds="4", size="480x848", model="sora-2", metadata={"a": "b"}, quality="fast"
    )
    again = ResolvedRequest.resolve(
        check_requested("dev.kinora.video.requested.v1", once.as_request()), FULL, "x", "y"
    )
    assert again == once


def test_older_functions_read_requests_without_a_quality() -> None:
    """They refuse fields that they don't know, so the default is not sent; `fast` is."""
    assert "quality" not in _resolve(quality="exact").as_request()
    assert _resolve(quality="fast").as_request()["quality"] == "fast"


def test_a_request_of_an_older_function_is_exact() -> None:
    """Its stored events have no quality."""
    stored = _resolve().model_dump(exclude={"quality"})
    assert ResolvedRequest.model_validate(stored) == _resolve(quality="exact")


def test_a_model_may_have_one_quality() -> None:
    """A distilled one has no steps to spare."""
    only_exact = FULL.model_copy(update={"fast": None})
    assert only_exact.qualities == ("exact",)
    request = check_body({"prompt": "x", "quality": "fast"})
    with pytest.raises(InvalidRequest, match="quality is fast; this model has: exact") as error:
        ResolvedRequest.resolve(request, only_exact, "acme", "v1")
    assert error.value.param == "quality"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"width": 850}, "width", "Nearest: 848x480"),
        ({"size": "850x480"}, "size", "Nearest: 848x480"),
        ({"height": 250}, "height", "Nearest: 848x256"),
        ({"height": 490}, "height", "Nearest: 832x480"),
        ({"width": 640, "height": 641}, "height", "Nearest: 624x624"),
        ({"width": 848, "height": 848}, "width", "Nearest: 624x624"),
        ({"size": "848x848"}, "size", "Nearest: 624x624"),
        # The sizes that programs for Sora send.
        ({"size": "1280x720"}, "size", "Nearest: 848x480"),
        ({"size": "720x1280"}, "size", "Nearest: 480x848"),
        ({"size": "1024x1792"}, "size", "Nearest: 480x848"),
        ({"size": "1792x1024"}, "size", "Nearest: 848x480"),
        ({"size": "big"}, "size", "848x480"),
        (
            {"size": "848x480", "width": 640},
            "width",
            "size is 848x480; send size, or width and height",
        ),
        ({"n": 2}, "n", "must be 1: a request makes one video"),
        ({"n": "0"}, "n", "Send one request for each video"),
        ({"num_outputs_per_prompt": 4}, "num_outputs_per_prompt", "must be 1"),
        ({"user": "x" * 513}, "user", "at most 512"),
        ({"user": 7}, "user", "must be text"),
        ({"num_frames": 50}, "num_frames", "Nearest: 49 or 55"),
        ({"num_frames": 0}, "num_frames", "Nearest: 7"),
        ({"num_frames": 1000}, "num_frames", "Nearest: 163"),
        ({"seconds": "4.1"}, "seconds", "Nearest: 4 or 4.2"),
        ({"seconds": "12"}, "seconds", "Nearest: 5.4"),
        ({"seconds": "-1"}, "seconds", "a number"),
        ({"seconds": "four", "num_frames": 31}, "seconds", "a number"),
        ({"seconds": "4", "num_frames": 50}, "num_frames", "Nearest: 49 or 55"),
        ({"num_inference_steps": 1}, "num_inference_steps", "from 2 to 200"),
        ({"guidance_scale": 100}, "guidance_scale", "from 0 to 20"),
        ({"guidance_scale": float("nan")}, "guidance_scale", "finite"),
        ({"quality": "best"}, "quality", "'exact' or 'fast'"),
        ({"fps": 0}, "fps", "from 1 to 60"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": 2**32}, "seed", "less than or equal to"),
        ({"seed": True}, "seed", "true or false"),
        ({"seed": "many"}, "seed", "integer"),
        ({"prompt": ""}, "prompt", "must not be empty"),
        ({"prompt": "  \n"}, "prompt", "empty"),
        ({"prompt": "\0"}, "prompt", "empty"),
        ({"prompt": "\u200b\ufeff"}, "prompt", "empty"),
        ({"prompt": "x" * 4097}, "prompt", "4097 characters; at most 4096"),
        ({"prompt": "\ud800"}, "prompt", "Unicode"),
        ({"prompt": 7}, "prompt", "must be text"),
        ({"negative_prompt": "x" * 4097}, "negative_prompt", "at most 4096"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "16"),
        ({"metadata": {"k" * 65: ""}}, "metadata", "64"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "512"),
        ({"metadata": {"k": 1}}, "metadata", "metadata[k] must be text"),
        ({"metadata": []}, "metadata", "must be an object"),
        ({"num_frame": 31}, "num_frame", "did you mean 'num_frames'?"),
        ({"input_reference": "x"}, "input_reference", "from text only"),
        ({"image_url": "x"}, "image_url", "from text only"),
        ({"video": {"id": "v"}}, "video", "from text only"),
        ({"input_reference[image_url]": "x"}, "input_reference[image_url]", "from text only"),
    ],
)
def test_bad_input_names_the_field_and_the_remedy(
    fields: dict[str, Any], param: str, words: str
) -> None:
    """Nothing is silently changed: the error says which values would work."""
    with pytest.raises(InvalidRequest) as error:
        _resolve(**fields)
    assert error.value.param == param
    assert words in error.value.message
    assert len(error.value.message) < 500


def test_a_missing_prompt_is_named() -> None:
    """It is the only required field."""
    with pytest.raises(InvalidRequest) as error:
        check_body({})
    assert (error.value.param, error.value.code) == ("prompt", "missing_required_parameter")


@pytest.mark.parametrize(("text", "number"), [("64", 64), (" 64 ", 64), (64, 64), (64.0, 64)])
def test_text_in_a_form_is_parsed_as_the_type_of_its_field(text: object, number: int) -> None:
    """Forms carry text only."""
    assert check_body({"prompt": "x", "num_inference_steps": text}).num_inference_steps == number


def test_the_types_in_an_event_are_strict() -> None:
    """JSON has numbers, so the text '64' is a mistake there."""
    with pytest.raises(InvalidRequest) as error:
        check_requested("dev.kinora.video.requested.v1", {"prompt": "x", "seed": "64"})
    assert error.value.param == "seed"


@given(k=st.integers(1, 27), fps=st.integers(1, 60))
def test_returned_seconds_are_accepted_in_requests(k: int, fps: int) -> None:
    """`seconds` of any video requests the same number of frames again."""
    frames = 6 * k + 1
    assert _resolve(seconds=seconds_of(frames, fps), fps=fps).num_frames == frames


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_every_size_is_used_as_requested_or_refused(width: int, height: int) -> None:
    """Never adjusted; the error names the field."""
    possible = (
        width % 16 == height % 16 == 0
        and 256 <= width <= 848
        and 256 <= height <= 848
        and width * height <= 848 * 480
    )
    if possible:
        resolved = _resolve(width=width, height=height)
        assert (resolved.width, resolved.height) == (width, height)
    else:
        with pytest.raises(InvalidRequest) as error:
            _resolve(width=width, height=height)
        assert error.value.param in {"width", "height"}


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"seconds": "4", "num_frames": 121}, []),
        ({"seconds": 4, "num_frames": 121}, []),
        ({"num_frames": 31}, []),
        ({"seconds": "4", "num_frames": 31}, ["seconds_ignored"]),
        # A length that the model does not support is no error if it is not used.
        ({"seconds": 4.1, "num_frames": 31}, ["seconds_ignored"]),
        ({"negative_prompt": "text", "guidance_scale": 1}, ["negative_prompt_ignored"]),
        ({"negative_prompt": "text", "guidance_scale": 1.1}, []),
        ({"negative_prompt": "", "guidance_scale": 0}, []),
        ({"negative_prompt": " \t", "guidance_scale": 0}, []),
    ],
)
def test_what_has_no_effect_is_a_warning(fields: dict[str, Any], codes: list[str]) -> None:
    """Also after the request was stored with its defaults and resolved again."""
    once = _resolve(**fields)
    stored = check_requested("dev.kinora.video.requested.v1", once.as_request())
    again = ResolvedRequest.resolve(stored, FULL, "acme", "v1")
    assert [one.code for one in warnings_of(once)] == codes
    assert again == once


def test_num_frames_is_used_where_seconds_differ() -> None:
    """Clients of other servers send both, and expect it."""
    resolved = _resolve(seconds="4", num_frames=31)
    assert (resolved.num_frames, resolved.seconds) == (31, "1")
    assert warnings_of(resolved)[0].message == (
        "seconds is 4, but num_frames is 31, which is 1 s at 30 fps; num_frames was used"
    )


def test_a_warning_of_a_long_prompt_says_where_it_ends() -> None:
    """It quotes whole words only, where there are any."""
    message = truncated("prompt", 412, 255, "a red circle " * 20 + "on the sand").message
    assert message.startswith("prompt has 412 tokens; the first 255 were used, up to '… ")
    assert message.endswith("circle on the sand'")
    assert "'… " + "x" * 40 in truncated("prompt", 300, 255, "x" * 255).message
