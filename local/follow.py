"""Prints what every function of a local stack logged about one video, or one request, in order.

`python -m local.follow ID`, or `make follow ID=...`. The id is a video's, or the `x-request-id` of
a response, which may have led to several videos.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.ports import SettingsError
from local.stack import Stack

# A function's line begins with its time; the lines of a traceback follow theirs. Other processes,
# such as the gateway, write lines of other forms, which are left out.
_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+Z ")


@dataclass(frozen=True, order=True)
class Entry:
    """A line of a log, with the lines of a traceback that belong to it.

    Entries sort by time: the text begins with it, in UTC and with a fixed number of digits.
    """

    text: str
    process: str


def entries_about(name: str, logs: Path) -> list[Entry]:
    """What the logs in a folder say about the video or request `name`, oldest first."""
    about = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
    found = (
        Entry(text, path.name.partition(".")[0])
        for path in logs.glob("*.log*")
        for text in _entries(path)
    )
    return sorted(entry for entry in found if about.search(entry.text))


def _entries(path: Path) -> Iterator[str]:
    entry: list[str] = []
    with path.open(errors="replace") as lines:
        for line in lines:
            begins = _LINE.match(line)
            if begins and entry:
                yield "".join(entry).rstrip()
                entry = []
            if begins or entry:
                entry.append(line)
    if entry:
        yield "".join(entry).rstrip()


def main() -> int:
    """Print the entries; the exit status is 1 if there are none."""
    if len(sys.argv) != 2 or not sys.argv[1]:  # noqa: PLR2004 - the program and one argument
        print("usage: make follow ID=, with a video's or a request's id", file=sys.stderr)
        return 2
    try:
        stack = Stack.from_environ()
    except SettingsError as problem:
        print(f"kinora: {problem}", file=sys.stderr)
        return 2
    logs = stack.data / "logs"
    entries = entries_about(sys.argv[1], logs)
    for entry in entries:
        print(f"{entry.process:<11} | {entry.text}")
    if not entries:
        print(f"Nothing in {logs} is about {sys.argv[1]}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
