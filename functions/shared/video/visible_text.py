"""Whether a text shows anything to its reader."""

from __future__ import annotations

import unicodedata
from typing import Final

# Controls, format characters such as zero-width ones, halves of characters, and spaces. Neither
# private nor unassigned characters: those may be what a newer Unicode than Python's calls an emoji.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
# Of other categories, what Unicode 15 calls `Default_Ignorable_Code_Point`: fillers, variation
# selectors and reserved characters; and the Braille pattern without dots.
_IGNORABLE: Final = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2065, 0x2065),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),
)


def has_visible_text(text: str) -> bool:
    """Whether any character of `text` is visible; spaces are not."""
    return any(map(_is_visible, text))


def _is_visible(character: str) -> bool:
    code = ord(character)
    return unicodedata.category(character) not in _INVISIBLE and not any(
        first <= code <= last for first, last in _IGNORABLE
    )
