"""What a model that makes videos from text alone refuses, however it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from functions.shared.errors import TextOnly, excerpt

# What the OpenAI API and other servers of its shape call pictures, videos and sound to start from.
MEDIA_FIELDS: Final = frozenset({
    "input_reference", "input_references", "reference_images", "image", "images", "image_url",
    "image_urls", "input_image", "first_frame", "last_frame", "mask", "video", "video_url",
    "input_video", "audio", "audio_url",
})  # fmt: skip

_NAMES: Final = "|".join(sorted(MEDIA_FIELDS)).encode()
# How the start of a body that is too large to parse shows such a field, by its media type: the
# headers of a part, a name in a JSON object but not in a text, or a pair.
_SIGNS: Final = {
    "multipart/form-data": re.compile(
        rb'form-data; *name="?(?P<field>(?:%s)(?=["\[;\r])|[^"\r]{1,64}(?="; *filename=))' % _NAMES
    ),
    "application/json": re.compile(rb'(?<!\\)"(?P<field>%s)"\s*:' % _NAMES),
    "application/x-www-form-urlencoded": re.compile(rb"(?:^|&)(?P<field>%s)(?==|%%5B|\[)" % _NAMES),
}


def refuse_media(names: Iterable[str]) -> None:
    """Check that no field's name asks for a picture, a video or sound to be used.

    Raises:
        TextOnly: one does; `param` names it.
    """
    for name in names:
        # A form may have `input_reference[image_url]`.
        if name.partition("[")[0] in MEDIA_FIELDS:
            raise _refusal(name)


def media_in(mimetype: str, start: bytes) -> TextOnly | None:
    """The error for a body that starts with `start`, and sends a file or a field for media."""
    signs = _SIGNS.get(mimetype)
    found = signs and signs.search(start)
    return _refusal(found["field"].decode(errors="replace")) if found else None


def _refusal(name: str) -> TextOnly:
    shown = excerpt(name)
    return TextOnly(
        f"{shown} is not supported: this model makes videos from text only. Leave it out",
        param=shown,
    )
