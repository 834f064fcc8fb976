"""What sending CloudEvents to `generate` and to a Broker has in common."""

from __future__ import annotations

import json
from typing import Final

from functions.shared.errors import Unavailable

# Statuses with which a sink refuses an event permanently: sending it again changes nothing.
PERMANENT_REFUSALS: Final = frozenset({400, 413, 414, 422, 431})


def parse_ce_overrides(text: str | None) -> dict[str, str]:
    """Parse the extension attributes in a SinkBinding's K_CE_OVERRIDES (`{"extensions": {...}}`).

    Raises:
        Unavailable: it does not have that form.
    """
    if not text:
        return {}
    try:
        extensions = json.loads(text).get("extensions", {})
        return {str(name): str(value) for name, value in extensions.items()}
    except (ValueError, AttributeError) as problem:
        raise Unavailable(f"K_CE_OVERRIDES is not valid: {problem}") from None
