"""Write the JSON Schemas of Kinora's events, and the table in the README, from the code.

`python event-schemas/generate.py` writes; with `--check` it only says what is stale, and exits 1
if anything is. What an event carries is defined in `functions/shared/video/events.py` and nowhere
else; `functions/shared/api/event_schemas.py` makes the schemas.
"""  # noqa: INP001 - a program beside its data; the folder's name can't be a package's

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from functions.shared.api.event_schemas import (  # noqa: E402 - the path is set above
    ABOUT,
    schema_of,
    subject_of,
)
from functions.shared.video.events import EventName  # noqa: E402 - as above

BEGIN, END = "<!-- events:begin -->", "<!-- events:end -->"


def table() -> str:
    """The table of all events, in Markdown."""
    lines = [
        "| Type | Subject in NATS | Published by | What it says | Required in `data` | Files |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, about in ABOUT.items():
        required = ", ".join(
            f"`{field}`" for field in schema_of(name)["properties"]["data"]["required"]
        )
        files = f"[schema](v1/{name}.json), [example](examples/{name}.json)"
        if name is EventName.REQUESTED:
            files += ", [full example](examples/requested-full.json)"
        lines.append(
            f"| `{name.type}` | `{subject_of(name)}` | {about.publisher} | {about.says} "
            f"| {required} | {files} |"
        )
    return "\n".join(lines)


def with_table(readme: str) -> str:
    """The README with its table brought up to date.

    Raises:
        ValueError: the markers are not there, once each.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or END in after:
        raise ValueError(f"README.md must hold {BEGIN} and {END} once each")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def documents() -> dict[Path, str]:
    """Every file that this program writes, and what should be in it."""
    texts = {
        FOLDER / "v1" / f"{name}.json": json.dumps(schema_of(name), indent=2) + "\n"
        for name in EventName
    }
    readme = FOLDER / "README.md"
    texts[readme] = with_table(readme.read_text(encoding="utf-8"))
    return texts


def stale() -> list[Path]:
    """The files that are not as the code has them, and schemas of events that are no more."""
    expected = documents()
    changed = [
        path
        for path, text in expected.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return changed + sorted(set((FOLDER / "v1").glob("*")) - set(expected))


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the event schemas from the code.")
    parser.add_argument("--check", action="store_true", help="say what is stale; write nothing")
    found = stale()
    if parser.parse_args(arguments).check:
        for path in found:
            sys.stderr.write(f"{path.relative_to(FOLDER.parent)} is stale\n")
        if found:
            sys.stderr.write("Run: python event-schemas/generate.py\n")
        return 1 if found else 0
    expected = documents()
    for path in found:
        if path in expected:
            path.parent.mkdir(exist_ok=True)
            path.write_text(expected[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
