"""The page's folders are layers too: a module imports from its own folder and from those below."""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from local.stack import ROOT

UI = ROOT / "ui"
# From top to bottom; folders on one line never import each other. "." holds `app.js`.
LAYERS = (
    {"."},
    {"compose", "detail", "gallery", "page"},
    {"videos"},
    {"server"},
    {"browser"},
)
# `import ... from "./x.js"`, `export ... from "./x.js"`, `import "./x.js"`.
STATEMENT = re.compile(r'^(?:import|export)\b[^;"]*"(\.[^"]+)"', re.MULTILINE)
# `import("./x.js")`, which JSDoc comments use for types.
CALL = re.compile(r'\bimport\("(\.[^"]+)"\)')


def files() -> list[Path]:
    """Every module of the page."""
    return sorted(UI.rglob("*.js"))


def imports(path: Path, *patterns: re.Pattern[str]) -> Iterator[Path]:
    """The modules that a file imports."""
    text = path.read_text()
    for pattern in patterns:
        for name in pattern.findall(text):
            target = (path.parent / name).resolve()
            assert target.is_file(), (path.name, name)
            yield target


def layer(path: Path) -> int:
    """The layer of a module's folder, counted from the top."""
    folder = path.relative_to(UI).parent.as_posix()
    return next(number for number, folders in enumerate(LAYERS) if folder in folders)


def test_every_folder_has_a_layer() -> None:
    """A new folder below `ui` must be given its place here."""
    assert {path.relative_to(UI).parent.as_posix() for path in files()} == set().union(*LAYERS)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(UI).as_posix())
def test_a_module_imports_only_its_own_folder_and_lower_layers(path: Path) -> None:
    """Types in comments count as well: whoever moves a file would have to follow them."""
    for target in imports(path, STATEMENT, CALL):
        assert target.parent == path.parent or layer(target) > layer(path), target


def test_modules_have_no_import_cycles() -> None:
    """Every module can be loaded and tested without the ones that import it."""
    graph = {path: set(imports(path, STATEMENT)) for path in files()}
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) == len(graph)


def test_every_module_is_preloaded() -> None:
    """The browser fetches all modules at once, instead of one import after another."""
    page = (UI / "index.html").read_text()
    loaded, waiting = set[Path](), [UI / "app.js"]
    while waiting:
        path = waiting.pop()
        if path not in loaded:
            loaded.add(path)
            waiting += imports(path, STATEMENT)
    preloaded = {UI / name for name in re.findall(r'rel="modulepreload" href="/([^"]+)"', page)}
    assert len(loaded) > 20
    assert preloaded == loaded - {UI / "app.js"}
