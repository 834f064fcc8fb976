"""The manifests of `knative/`, rendered by kubectl, as data."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.shared.config import Settings
from local.stack import ROOT

KNATIVE = ROOT / "knative"
OVERLAYS = ("kind", "h100", "h100-fleet")
EACH_OVERLAY = pytest.mark.parametrize("name", OVERLAYS)
# What downloads the weights, in the overlays that have GPUs.
WEIGHTS = {"h100": "Job", "h100-fleet": "DaemonSet"}
EACH_GPU_OVERLAY = pytest.mark.parametrize("name", WEIGHTS)
FUNCTIONS = ("submit", "status", "dispatch", "generate")
KNATIVE_SERVICES = ("submit", "status", "generate", "ui")

Manifest = dict[str, Any]


def kubectl() -> str:
    """The path of `kubectl`: of the virtual environment's, else of the one on the PATH.

    Raises:
        AssertionError: there is none; the message says how to install it.
    """
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found is not None, "kubectl is missing: `make install` installs it into .venv"
    return found


@functools.cache
def _rendered(folder: Path) -> str:
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    # The next release of kubectl may refuse what this one calls deprecated.
    assert "deprecated" not in done.stderr, f"{folder}: {done.stderr}"
    return done.stdout


def render(folder: Path) -> list[Manifest]:
    """Every object that `kubectl apply -k folder` would send."""
    # The tests call this a hundred times, and the loader in C is much faster.
    documents = yaml.load_all(_rendered(folder), yaml.CSafeLoader)
    return [document for document in documents if document]


def documents(path: Path) -> list[Manifest]:
    """The objects in one file, as they are in git."""
    return list(yaml.safe_load_all(path.read_text()))


def overlay(name: str) -> list[Manifest]:
    """The objects of an overlay."""
    return render(KNATIVE / "overlays" / name)


def with_components(name: str, *components: str, folder: Path) -> list[Manifest]:
    """The objects of an overlay with components, rendered from the empty `folder`."""
    up = "../" * len(folder.relative_to("/").parts)
    place = f"{up}{KNATIVE.relative_to('/')}"
    kustomization = {
        "resources": [f"{place}/overlays/{name}"],
        "components": [f"{place}/components/{component}" for component in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(folder)


def platform(name: str) -> list[Manifest]:
    """The changes that an overlay needs in Knative itself."""
    return [yaml.safe_load(path.read_text()) for path in platform_files(name)]


def platform_files(name: str) -> list[Path]:
    """The files of these changes, one object each."""
    folders = [KNATIVE / "platform" / part for part in ("common", name)]
    return [path for folder in folders for path in sorted(folder.glob("*.yaml"))]


def find(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """The one object of this kind and name; `Service` is Knative's, and not Kubernetes' own."""
    found = [
        item
        for item in objects
        if item["kind"] == kind
        and item["metadata"]["name"] == name
        and not (kind == "Service" and item["apiVersion"] == "v1")
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


def pod_templates(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """`kind/name` and pod template of every object that creates pods."""
    for item in objects:
        template = item.get("spec", {}).get("template")
        if isinstance(template, dict):
            yield f"{item['kind']}/{item['metadata']['name']}", template


def containers_of(template: Manifest) -> list[Manifest]:
    """The containers of a pod template, those that run before the others included."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(objects: list[Manifest], container: Manifest) -> dict[str, str]:
    """A container's variables; one from a Secret has the value `<secret>/<key>`.

    A whole Secret (`envFrom`) is the variable `<secret>/*`.
    """
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


def expanded(variables: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """The variables as a container sees them; `secrets` are the values of `<secret>/<key>`.

    As in Kubernetes, `$(NAME)` is replaced only if `NAME` was defined before.
    """
    found: dict[str, str] = {}
    for name, value in variables.items():
        text = secrets.get(value, value)
        found[name] = re.sub(r"\$\((\w+)\)", lambda known: found.get(known[1], known[0]), text)
    return found


def nats_files(objects: list[Manifest]) -> dict[str, str]:
    """The configuration files that the NATS servers' pods mount, by name."""
    volumes = find(objects, "StatefulSet", "nats")["spec"]["template"]["spec"]["volumes"]
    name = next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)
    files: dict[str, str] = find(objects, "ConfigMap", name)["data"]
    return files


def container_of(objects: list[Manifest], function: str) -> Manifest:
    """The only container of a function, or of `ui`."""
    kind = "Deployment" if function == "dispatch" else "Service"
    (container,) = find(objects, kind, function)["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def settings_of(objects: list[Manifest], container: Manifest) -> Settings:
    """A function's settings with its container's variables.

    Raises:
        pydantic.ValidationError: a value is not valid.
    """
    given = {name.lower(): value for name, value in environment(objects, container).items()}
    fields = Settings.model_fields.keys() & given.keys()
    return Settings.model_validate({name: given[name] for name in fields})


def names_selected(selectors: Any) -> set[str]:
    """The values of the label app.kubernetes.io/name anywhere in selectors."""
    if isinstance(selectors, list):
        return {name for item in selectors for name in names_selected(item)}
    if not isinstance(selectors, dict):
        return set()
    if selectors.get("key") == "app.kubernetes.io/name":
        return set(selectors["values"])
    here = selectors.get("app.kubernetes.io/name")
    return names_selected(list(selectors.values())) | ({here} if here else set())
