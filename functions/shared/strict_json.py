"""Parses callers' JSON without silently dropping anything."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from functions.shared.errors import excerpt


class NotJson(ValueError):
    """Completes "The body ..." in an error; `name` is the field at fault, if there is one."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.name = name


def parse(body: bytes) -> object:
    """Parse UTF-8 JSON in which no object repeats a name and every number is finite.

    RFC 8259, sections 4, 6 and 8.1. What Python would read as infinity could not be written again.

    Raises:
        NotJson: it is anything else.
    """
    try:
        document: object = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_checked_object,
            parse_constant=_NotFinite,
            parse_float=_read_float,
        )
        # Objects have checked their values; a number may also be outside of any.
        _check_finite(document, None)
    except NotJson:
        raise
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8") from None
    except json.JSONDecodeError:
        raise NotJson("is not valid JSON") from None
    except RecursionError:
        raise NotJson("is nested too deeply") from None
    except ValueError:  # Python limits the digits of an integer
        raise NotJson("has a number with too many digits") from None
    return document


class _NotFinite(str):
    """The text of a number that is not finite, until the field that has it is known."""

    __slots__ = ()


def _read_float(text: str) -> float | _NotFinite:
    value = float(text)
    return value if math.isfinite(value) else _NotFinite(text)


def _check_finite(value: object, name: str | None) -> None:
    if isinstance(value, _NotFinite):
        shown = name and _presentable(name)
        raise NotJson(f"has the number {excerpt(value)}; a number must be finite", shown)
    if isinstance(value, list):
        for item in value:
            _check_finite(item, name)


def _checked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = _presentable(next(name for name, count in counts.items() if count > 1))
        raise NotJson(f"has {repeated!r} more than once", repeated)
    for name, value in pairs:
        _check_finite(value, name)
    return fields


def _presentable(name: str) -> str:
    return excerpt(name).encode(errors="replace").decode()
