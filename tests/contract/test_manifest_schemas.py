"""Every manifest is valid for its kind, and whatever it refers to exists."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml

from functions.shared.video.events import EventName
from tests import manifests, schemas
from tests.manifests import (
    EACH_OVERLAY,
    KNATIVE,
    OVERLAYS,
    Manifest,
    containers_of,
    environment,
    find,
    names_selected,
    overlay,
    platform,
    pod_templates,
)

EXAMPLES = sorted((KNATIVE / "eventing").glob("*.yaml"))


RENDERED = [KNATIVE / part for part in ("base", "nvme", "nvme-fleet")]
RENDERED += [KNATIVE / "overlays" / name for name in OVERLAYS]


@pytest.mark.parametrize("folder", RENDERED, ids=lambda folder: folder.name)
def test_every_object_is_valid_for_its_kind(folder: Path) -> None:
    """Kubernetes and Knative know every field, and every value has the type of its field."""
    _all_valid(manifests.render(folder))


@EACH_OVERLAY
def test_every_object_of_the_platform_is_valid_for_its_kind(name: str) -> None:
    """The changes of an overlay to Knative itself are checked in the same way."""
    _all_valid(platform(name))


def _all_valid(objects: list[Manifest]) -> None:
    assert objects
    wrong = []
    for item in objects:
        try:
            schemas.validate(item)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", ["Service", "SinkBinding", "StatefulSet", "NetworkPolicy"])
def test_an_invalid_object_is_refused(kind: str) -> None:
    """The schemas refuse an unknown field, also a nested one, and a value of another type."""
    right = next(item for item in overlay("kind") if item["kind"] == kind)
    schemas.validate(right)
    for spoil in (_misspell, _mistype):
        wrong = copy.deepcopy(right)
        spoil(wrong)
        with pytest.raises(AssertionError, match=kind):
            schemas.validate(wrong)


def _misspell(item: Manifest) -> None:
    template = item["spec"].get("template", item)
    template["spec"]["contianers"] = []


def _mistype(item: Manifest) -> None:
    item["metadata"]["labels"] = "text"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_eventing_examples_are_valid(path: Path) -> None:
    """Every object has the schema of its kind, and Triggers filter on event types that exist."""
    for item in yaml.safe_load_all(path.read_text()):
        schemas.validate(item)
        if item["kind"] == "Trigger":
            wanted = item["spec"]["filter"]["attributes"]["type"]
            assert wanted in {name.type for name in EventName}


@EACH_OVERLAY
def test_no_manifest_names_a_namespace_or_an_address(name: str) -> None:
    """The same manifests run in any namespace of any cluster."""
    for item in overlay(name):
        assert "namespace" not in item["metadata"], item["metadata"]
        text = re.sub(r"127\.0\.0\.1|0\.0\.0\.0", "", yaml.safe_dump(item))
        assert re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", text) is None, text
        assert ".svc" not in text
        assert ".cluster.local" not in text


@EACH_OVERLAY
def test_every_reference_resolves(name: str) -> None:
    """ServiceAccounts, ConfigMaps, claims and mounted volumes exist under the names used."""
    objects = overlay(name)
    for owner, template in pod_templates(objects):
        pod = template["spec"]
        find(objects, "ServiceAccount", pod["serviceAccountName"])
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume:
                find(objects, "ConfigMap", volume["configMap"]["name"])
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                find(objects, "PersistentVolumeClaim", claim)
        claims = {"data"} if owner.startswith("StatefulSet") else set()
        mounted: set[str] = set()
        for container in containers_of(template):
            mounted |= {mount["name"] for mount in container.get("volumeMounts", [])}
            environment(objects, container)
        assert mounted == set(volumes) | claims, owner
        if "priorityClassName" in pod:
            find(objects, "PriorityClass", pod["priorityClassName"])


@EACH_OVERLAY
def test_selectors_match_the_labels_of_pods(name: str) -> None:
    """Network policies and disruption budgets select pods that exist."""
    objects = overlay(name)
    labels = [template["metadata"]["labels"] for _, template in pod_templates(objects)]
    assert {label["app.kubernetes.io/part-of"] for label in labels} == {"kinora"}
    parts = {label["app.kubernetes.io/name"] for label in labels}
    for item in objects:
        if item["kind"] == "PodDisruptionBudget":
            assert item["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] in parts
        if item["kind"] == "NetworkPolicy":
            assert names_selected(item["spec"]) <= parts, item["metadata"]["name"]
