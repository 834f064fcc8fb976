"""Generates `docs/settings.md`, `docs/metrics.md` and `docs/openapi.json` from the code.

`python docs/generate.py` writes the files; with `--check` it only lists stale files, and exits
with 1 if there are any. A deployment serves the same OpenAPI document at `/openapi.json`, with the
limits of its own model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from functions.shared.api.openapi import document  # noqa: E402 - as above
from functions.shared.config import Settings  # noqa: E402 - after the path to it
from functions.shared.metrics import TABLE  # noqa: E402 - as above
from functions.shared.video.profiles import load_profile  # noqa: E402 - as above

SETTINGS: Final = ROOT / "docs" / "settings.md"
METRICS: Final = ROOT / "docs" / "metrics.md"
OPENAPI: Final = ROOT / "docs" / "openapi.json"


def settings_table() -> str:
    """A Markdown table of all settings of the functions."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "not set" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def metrics_table() -> str:
    """A Markdown table of all metrics of the functions."""
    rows = ["| Metric | Kind | Labels | Functions | Meaning |", "|---|---|---|---|---|"]
    for metric in TABLE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        functions = ", ".join(metric.functions)
        rows.append(
            f"| `{metric.name}` | {metric.kind} | {labels} | {functions} | {metric.meaning} |"
        )
    return "\n".join(rows)


def render(page: str, what: str, table: str) -> str:
    """`page` with `table` between the markers of `what`."""
    begin, end = f"<!-- {what}:begin -->", f"<!-- {what}:end -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def openapi() -> str:
    """The OpenAPI document of a deployment with the real model."""
    return json.dumps(document(load_profile("mochi-1")), indent=2) + "\n"


def main() -> int:
    """Write the files, or check them; returns the exit status."""
    expected = {
        SETTINGS: render(SETTINGS.read_text(), "settings", settings_table()),
        METRICS: render(METRICS.read_text(), "metrics", metrics_table()),
        OPENAPI: openapi(),
    }
    stale = [p for p, text in expected.items() if not p.exists() or p.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run python docs/generate.py\n")
        return int(bool(stale))
    for path in stale:
        path.write_text(expected[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
