"""JSON of callers, read so that nothing of it is lost without a word."""

from __future__ import annotations

import json
from typing import Any, Final

# How much of a caller's text is said back.
_ECHO: Final = 80


class NotJson(ValueError):
    """What follows "The body ..." in an error; `name` is that of the field at fault, if any."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.name = name


def parse(body: bytes) -> object:
    """Read UTF-8 JSON in which no object names a field twice (RFC 8259, sections 4 and 8.1).

    Raises:
        NotJson: it is something else.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_once)
    except NotJson:
        raise
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8") from None
    except json.JSONDecodeError:
        raise NotJson("is not valid JSON") from None
    except RecursionError:
        raise NotJson("is nested too deeply") from None
    except ValueError:  # the interpreter's limit for the digits of an integer
        raise NotJson("has a number with too many digits") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:_ECHO]
        twice = twice.encode(errors="replace").decode()
        raise NotJson(f"has {twice!r} more than once", twice)
    return fields
