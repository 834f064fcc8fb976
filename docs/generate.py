"""Writes `docs/settings.md` from the settings themselves: `python docs/generate.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from functions.shared.config import Settings  # noqa: E402 - after the path to it

PAGE: Final = ROOT / "docs" / "settings.md"
BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"


def table() -> str:
    """The table of all settings of the functions."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "not set" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def render(page: str) -> str:
    """The page with the table between its markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Write the page; with --check, only say whether it is up to date."""
    page = PAGE.read_text()
    if sys.argv[1:] == ["--check"]:
        return int(render(page) != page)
    PAGE.write_text(render(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
