"""Parses callers' JSON without silently dropping anything."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from functions.shared.errors import excerpt

# What an error names of a member at fault.
Path = tuple[str, ...]


class NotJson(ValueError):
    """Completes "The body ..." in an error.

    `path` has the names that lead to the fault, from the outermost object's; arrays add none. It is
    empty if the fault is nowhere in particular.
    """

    def __init__(self, reason: str, path: Path = ()) -> None:
        super().__init__(reason)
        self.path = path

    @property
    def name(self) -> str | None:
        """The field of the outermost object that has the fault, if there is one."""
        return self.path[0] if self.path else None


@dataclass(frozen=True)
class _Fault:
    """Stands in the parsed document for what can't be in it, until its path is known."""

    reason: str
    path: Path = ()


class _Faults:
    """Python's hooks for JSON, which know no paths: they leave a fault in place and count it."""

    def __init__(self) -> None:
        self.count = 0

    def number(self, text: str) -> float | _Fault:
        value = float(text)
        return value if math.isfinite(value) else self.constant(text)

    def constant(self, text: str) -> _Fault:
        self.count += 1
        return _Fault(f"has the number {excerpt(text)}; a number must be finite")

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Fault:
        fields = dict(pairs)
        if len(fields) == len(pairs):
            return fields
        self.count += 1
        counts = Counter(name for name, _ in pairs)
        repeated = _presentable(next(name for name, count in counts.items() if count > 1))
        return _Fault(f"has {repeated!r} more than once", (repeated,))


def parse(body: bytes) -> object:
    """Parse UTF-8 JSON in which no object repeats a name and every number is finite.

    RFC 8259, sections 4, 6 and 8.1. What Python would read as infinity could not be written again.

    Raises:
        NotJson: it is anything else.
    """
    faults = _Faults()
    try:
        document: object = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=faults.object,
            parse_constant=faults.constant,
            parse_float=faults.number,
        )
        found = _first_fault(document) if faults.count else None
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8") from None
    except json.JSONDecodeError:
        raise NotJson("is not valid JSON") from None
    except RecursionError:
        raise NotJson("is nested too deeply") from None
    except ValueError:  # Python limits the digits of an integer
        raise NotJson("has a number with too many digits") from None
    if found is not None:
        raise NotJson(found.reason, found.path)
    return document


def _first_fault(value: object) -> _Fault | None:
    if isinstance(value, _Fault):
        return value
    if isinstance(value, dict):
        for name, item in value.items():
            if (found := _first_fault(item)) is not None:
                return _Fault(found.reason, (_presentable(name), *found.path))
    elif isinstance(value, list):
        return next((found for item in value if (found := _first_fault(item))), None)
    return None


def _presentable(name: str) -> str:
    return excerpt(name).encode(errors="replace").decode()
