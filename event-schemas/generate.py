"""Generate the JSON Schemas of Kinora's events, and the table in the README, from the code.

`python event-schemas/generate.py` writes the files; with `--check` it only lists stale files, and
exits with 1 if there are any. `functions/shared/video/events.py` is the only definition of the
events; `functions/shared/api/event_schemas.py` turns it into schemas.
"""  # noqa: INP001 - a script beside its data; the folder's name is not a valid package name

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from functions.shared.api.event_schemas import (  # noqa: E402 - the path is set above
    EVENT_INFO,
    schema_of,
    subject_of,
)
from functions.shared.video.events import EventName  # noqa: E402 - as above

BEGIN, END = "<!-- events:begin -->", "<!-- events:end -->"


def table() -> str:
    """A Markdown table of all events."""
    lines = [
        "| Type | Subject in NATS | Published by | Meaning | Required in `data` | Files |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, info in EVENT_INFO.items():
        required = ", ".join(
            f"`{field}`" for field in schema_of(name)["properties"]["data"]["required"]
        )
        files = f"[schema](v1/{name}.json), [example](examples/{name}.json)"
        if name is EventName.REQUESTED:
            files += ", [full example](examples/requested-full.json)"
        lines.append(
            f"| `{name.type}` | `{subject_of(name)}` | {info.publisher} | {info.meaning} "
            f"| {required} | {files} |"
        )
    return "\n".join(lines)


def with_table(readme: str) -> str:
    """`readme` with an up-to-date table.

    Raises:
        ValueError: the markers are missing or repeated.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or END in after:
        raise ValueError(f"README.md must contain {BEGIN} and {END} exactly once")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def documents() -> dict[Path, str]:
    """The expected content of every generated file."""
    texts = {
        FOLDER / "v1" / f"{name}.json": json.dumps(schema_of(name), indent=2) + "\n"
        for name in EventName
    }
    readme = FOLDER / "README.md"
    texts[readme] = with_table(readme.read_text(encoding="utf-8"))
    return texts


def stale() -> list[Path]:
    """Files that differ from the code, and schemas of events that no longer exist."""
    expected = documents()
    changed = [
        path
        for path, text in expected.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return changed + sorted(set((FOLDER / "v1").glob("*")) - set(expected))


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; returns the exit status."""
    parser = argparse.ArgumentParser(description="Generate the event schemas.")
    parser.add_argument("--check", action="store_true", help="list stale files and write nothing")
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
