"""Clients that common generators make from the OpenAPI document work with a running stack.

Each is generated from the document that the gateway serves, type-checked, and used by a program in
`generated/` as its users would: to create, poll, list, download and delete videos.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.harness import RunningStack
from tests.node import PACKAGES, run_node
from tests.patience import scaled

PROGRAMS = Path(__file__).with_name("generated")
# Strict, as new projects are; without the types of packages that the program does not use.
TSCONFIG = {
    "compilerOptions": {
        "target": "es2023",
        "module": "es2022",
        "moduleResolution": "bundler",
        "lib": ["es2023", "dom", "dom.iterable"],
        "types": [],
        "noEmit": True,
        "strict": True,
        "noUncheckedIndexedAccess": True,
    },
    "files": ["typescript_client.ts"],
}


@pytest.fixture
def document(kinora: RunningStack, tmp_path: Path) -> Path:
    """The document, as a user saves it."""
    path = tmp_path / "openapi.json"
    path.write_bytes(requests.get(f"{kinora.url}/openapi.json", timeout=scaled(20)).content)
    return path


def _run(*command: str | Path, cwd: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(cwd), "NO_PROXY": "127.0.0.1"}
    run = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=scaled(200),
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_generated_python_client_works(kinora: RunningStack, document: Path) -> None:
    """openapi-python-client understands all of the document, and its client every response."""
    folder = document.parent
    generate: list[str | Path] = ["-m", "openapi_python_client", "generate", "--fail-on-warning"]
    generate += ["--path", document, "--output-path", folder / "kinora_client", "--meta", "none"]
    _run(*generate, "--config", PROGRAMS / "openapi_python_client.yaml", cwd=folder)
    shutil.copy(PROGRAMS / "python_client.py", folder)
    _run("-m", "mypy", "--strict", "--cache-dir", os.devnull, "python_client.py", cwd=folder)
    _run("python_client.py", kinora.url, cwd=folder)


def test_a_generated_typescript_client_works(kinora: RunningStack, document: Path) -> None:
    """The types of openapi-typescript fit what a program sends and reads with openapi-fetch."""
    folder = document.parent
    shutil.copy(PROGRAMS / "typescript_client.ts", folder)
    (folder / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(PACKAGES)
    generator = PACKAGES / "openapi-typescript" / "bin" / "cli.js"
    run_node(generator, document, "--output", folder / "schema.d.ts")
    run_node(PACKAGES / "typescript" / "bin" / "tsc", "--project", folder)
    run_node(folder / "typescript_client.ts", kinora.url)
