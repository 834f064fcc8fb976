"""The manifests as `kubectl` makes them, as data."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from local.stack import ROOT

KNATIVE = ROOT / "knative"
OVERLAYS = ("kind", "h100")
FUNCTIONS = ("submit", "status", "dispatch", "generate")

Manifest = dict[str, Any]


def kubectl() -> str:
    """The `kubectl` of the virtual environment, else the one on the PATH.

    Raises:
        AssertionError: there is none; it says what brings one.
    """
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found is not None, "kubectl is missing: `make install` puts one into .venv"
    return found


@functools.cache
def _rendered(folder: Path) -> str:
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    # A deprecated field works until a release in which it does not.
    assert "deprecated" not in done.stderr, f"{folder}: {done.stderr}"
    return done.stdout


def render(folder: Path) -> list[Manifest]:
    """Every object that `kubectl apply -k folder` would send."""
    # The loader in C, as this is asked for a hundred times.
    documents = yaml.load_all(_rendered(folder), yaml.CSafeLoader)
    return [document for document in documents if document]


def overlay(name: str) -> list[Manifest]:
    """The objects of an overlay."""
    return render(KNATIVE / "overlays" / name)


def platform(name: str) -> list[Manifest]:
    """What an overlay needs changed in Knative itself."""
    return [yaml.safe_load(path.read_text()) for path in platform_files(name)]


def platform_files(name: str) -> list[Path]:
    """The files that hold these changes, one object each."""
    folders = [KNATIVE / "platform" / part for part in ("common", name)]
    return [path for folder in folders for path in sorted(folder.glob("*.yaml"))]


def find(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """The object of this kind (of any group, but Kubernetes' own Service) and name."""
    found = [
        item
        for item in objects
        if item["kind"] == kind
        and item["metadata"]["name"] == name
        and not (kind == "Service" and item["apiVersion"] == "v1")
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


def workloads(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """`kind/name` and pod template of everything that makes pods."""
    for item in objects:
        template = item.get("spec", {}).get("template")
        if isinstance(template, dict):
            yield f"{item['kind']}/{item['metadata']['name']}", template


def environment(objects: list[Manifest], container: Manifest) -> dict[str, str]:
    """A container's variables; what a Secret holds is `<secret>/<key>`, or `<secret>/*`."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= find(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            found[f"{source['secretRef']['name']}/*"] = ""
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
        secret = f"{reference.get('name')}/{reference.get('key')}"
        found[variable["name"]] = str(variable.get("value", secret))
    return found


def container_of(objects: list[Manifest], function: str) -> Manifest:
    """The one container of a function (or of `ui`)."""
    kind = "Deployment" if function == "dispatch" else "Service"
    (container,) = find(objects, kind, function)["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container
