"""The folders are layers: imports point downwards only, and never in a circle."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import ROOT

FUNCTIONS = ("submit", "dispatch", "generate", "status", "setup")
DEPLOYED = ROOT / "functions"
SHARED = "functions.shared"
ENGINE = "functions.generate.engine"
TORCH = {"torch", "diffusers", "transformers"}

# Each folder, and what its modules may not import, at the top of a module or inside a function.
FORBIDDEN = {
    "functions/shared/video": (f"{SHARED}.streams", f"{SHARED}.api"),
    "functions/shared/streams": (f"{SHARED}.api",),
    "functions/status/eta": ("functions.status.listing",),
    "functions/status/feeds": ("functions.status.eta", "functions.status.listing"),
    "functions/status/listing": ("functions.status.eta",),
    "functions/generate/engine/parent": (f"{ENGINE}.model",),
    "functions/generate/engine/model": (f"{ENGINE}.parent",),
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, and every name that may be one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a module is one of these packages, or lies in one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_layer_imports_nothing_from_above(folder: str) -> None:
    """Such as: `video` imports neither streams nor HTTP, and `streams` no HTTP."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    upward = [(path.name, name) for path in files for name in imports(path)
              if below(name, FORBIDDEN[folder])]  # fmt: skip
    assert upward == []


@pytest.mark.parametrize("function", [*FUNCTIONS, "shared"])
def test_functions_never_import_each_other(function: str) -> None:
    """A function imports only `functions.shared` and itself; shared code imports no function."""
    allowed = ("functions.__init__", SHARED, f"functions.{function}")
    files = sorted((DEPLOYED / function).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            assert not name.startswith("functions.") or below(name, allowed), (path, name)


def test_every_function_is_checked() -> None:
    """A new folder below `functions` is subject to the same rules."""
    folders = {path.parent.name for path in DEPLOYED.glob("*/__init__.py")}
    assert folders == {*FUNCTIONS, "shared"}


def test_only_the_engines_model_imports_torch() -> None:
    """The HTTP processes stay small, and use no accelerator."""
    importers = {
        path.relative_to(ROOT).parent.as_posix()
        for path in DEPLOYED.rglob("*.py")
        for name in imports(path)
        if name.partition(".")[0] in TORCH
    }
    assert importers == {"functions/generate/engine/model"}


def test_deployed_code_imports_only_deployed_code() -> None:
    """Images contain `functions` only: no tests, no local stack, no training of the demo model."""
    outside = ("benchmarks", "demo", "docs", "local", "protocol", "tests")
    for path in DEPLOYED.rglob("*.py"):
        for name in imports(path):
            assert not below(name, outside), (path, name)


def test_no_imports_form_a_cycle() -> None:
    """Every module can be read, tested and moved without the modules that import it."""
    modules = {module_name(path): path for path in DEPLOYED.rglob("*.py")}
    graph = {
        module: modules.keys() & set(imports(path)) - {module} for module, path in modules.items()
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def module_name(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
