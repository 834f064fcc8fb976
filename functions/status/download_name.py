"""The name of a downloaded file: one that tells people which video it is."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from functions.shared.timestamps import NANOSECONDS, parse_rfc3339
from functions.shared.video.events import VideoData

# Of the prompt. File systems limit a name to 255 bytes, of which a letter takes up to four.
MAX_PROMPT_CHARACTERS: Final = 50


def content_disposition(video_id: str, data: VideoData, suffix: str) -> str:
    """The header that names the file: the start of the prompt, the seed and the UTC date.

    The prompt's letters and digits in any script, with the marks that belong to them, and `-`, `_`
    and the dots of `suffix`: every file system takes those, and no prompt becomes a device of
    Windows. The id stands in for a prompt without any.

    RFC 6266, section 5, and its appendix D: old clients read `filename`, in ASCII; all others
    prefer `filename*`.
    """
    name = f"{video_id}{suffix}"
    plain = name
    request = data.request
    if request is not None and (words := _words(request.prompt)):
        created = parse_rfc3339(data.created_at) // NANOSECONDS
        day = f"{datetime.fromtimestamp(created, UTC):%Y-%m-%d}"
        rest = f"_seed-{request.seed}_{day}{suffix}"
        name = words + rest
        plain = (_ascii(words) or "video") + rest
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"


def _words(prompt: str) -> str:
    text = unicodedata.normalize("NFC", prompt)
    kept = "".join(char if unicodedata.category(char)[0] in "LMN" else "-" for char in text)
    # A mark that follows none of the letters belongs to nothing.
    joined = "-".join(word for word in kept.split("-") if word and word[0].isalnum())
    if len(joined) <= MAX_PROMPT_CHARACTERS:
        return joined
    # Between two words, unless the first one is already too long.
    start = joined[: MAX_PROMPT_CHARACTERS + 1]
    return start.rpartition("-")[0] or start[:-1]


def _ascii(words: str) -> str:
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return "-".join(filter(None, re.split(r"[^A-Za-z0-9]+", plain)))
