"""Which texts show anything."""

from __future__ import annotations

import pytest

from functions.shared.errors import InvalidRequest
from functions.shared.streams.validation import check_body, check_remix, check_requested
from functions.shared.video.events import EventName
from functions.shared.video.visible_text import has_visible_text

INVISIBLE = {
    "controls": "\0\x01\x1b\x7f\x85",
    "spaces": " \t\n\u00a0\u2003\u3000\u2028\u2029",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e",
    "directions": "\u200e\u202a\u2066\u061c",
    "fillers": "\u115f\u1160\u3164\uffa0\u2800",
    "variation selectors": "\ufe00\ufe0f\u180b\U000e0100",
    "tags": "\U000e0001\U000e007f",
    "joiner of marks": "\u034f",
}


@pytest.mark.parametrize("name", INVISIBLE)
def test_a_prompt_of_invisible_characters_is_refused_like_an_empty_one(name: str) -> None:
    """Each alone, and all together; over HTTP, for a remix, and as a CloudEvent."""
    for prompt in (*INVISIBLE[name], INVISIBLE[name]):
        for check in (check_body, check_remix, _check_event):
            with pytest.raises(InvalidRequest, match="empty") as error:
                check({"prompt": prompt})
            assert error.value.param == "prompt"


def _check_event(fields: dict[str, str]) -> object:
    return check_requested(EventName.REQUESTED.type, fields)


@pytest.mark.parametrize(
    "text", ["x", ".", "\u732b", "\u0e41\u0e21\u0e27", "\U0001f388", "\u2764\ufe0f", "\u0301"]
)
def test_a_prompt_with_one_visible_character_is_kept_as_it_is(text: str) -> None:
    """In any script, and with invisible characters around it."""
    for prompt in (text, f"\u200b{text}\0"):
        assert check_body({"prompt": prompt}).prompt == prompt


def test_emoji_that_python_does_not_know_yet_are_visible() -> None:
    """They are unassigned in the Unicode of Python 3.11."""
    assert has_visible_text("\U0001fae8")


def test_most_characters_are_visible() -> None:
    """No range is too wide: of the basic plane without its surrogates, fewer than 200 are not."""
    codes = [*range(0xD800), *range(0xE000, 0x10000)]
    assert sum(not has_visible_text(chr(code)) for code in codes) < 200
