"""Parses callers' JSON without silently dropping anything."""

from __future__ import annotations

import json
from typing import Any

from functions.shared.errors import excerpt


class NotJson(ValueError):
    """Completes "The body ..." in an error; `name` is the field at fault, if there is one."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.name = name


def parse(body: bytes) -> object:
    """Parse UTF-8 JSON in which no object repeats a name (RFC 8259, sections 4 and 8.1).

    Raises:
        NotJson: it is anything else.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
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


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = excerpt(next(name for name in names if names.count(name) > 1))
        repeated = repeated.encode(errors="replace").decode()
        raise NotJson(f"has {repeated!r} more than once", repeated)
    return fields
