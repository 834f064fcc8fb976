"""Finding lines in logs that are written as text."""

from __future__ import annotations


def logged(log: str, message: str, **fields: object) -> int:
    """How many lines of `log` contain `message`, and have these fields with these values."""
    wanted = {f"{name}={value}" for name, value in fields.items()}
    return sum(message in line and wanted <= set(line.split()) for line in log.splitlines())
