"""What an error says of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def describe_unknown(name: str, known: Iterable[str]) -> str:
    """`is not known`, and the most similar one of the `known` names if one is similar."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return "is not known" + (f"; did you mean '{close[0]}'?" if close else "")
