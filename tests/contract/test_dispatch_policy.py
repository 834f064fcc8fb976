"""What `dispatch` may change in a pod: its policy's expressions, run by Google's CEL."""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cel_expr_python import cel

from functions.dispatch.requests.deletion_cost import ANNOTATION, BUSY_COST
from tests import manifests
from tests.manifests import EACH_OVERLAY, KNATIVE, Manifest, find, overlay

NAME = "kinora-dispatch.kinora"
USER = "system:serviceaccount:kinora:dispatch"
# The admission operation that each of RBAC's verbs causes. Reading causes none.
OPERATIONS = {"patch": "UPDATE", "update": "UPDATE", "create": "CREATE", "delete": "DELETE"}

POD: Manifest = {
    "metadata": {
        "name": "generate-00001-x",
        "generateName": "generate-00001-",
        "resourceVersion": "1",
        "labels": {"app.kubernetes.io/name": "generate"},
        "annotations": {"prometheus.io/scrape": "true"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "generate-00001", "uid": "1"}],
        "finalizers": ["example.com/held"],
        "managedFields": [{"manager": "kubelet"}],
    },
    "spec": {"containers": [{"name": "generate", "image": "a/generate:1"}]},
}
BARE_POD: Manifest = {"metadata": {"name": "bare"}, "spec": POD["spec"]}

Change = Callable[[Manifest], Any]


def _policy() -> Manifest:
    spec: Manifest = find(overlay("h100"), "ValidatingAdmissionPolicy", NAME)["spec"]
    return spec


ENV = cel.NewEnv(
    variables={
        name: cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
        for name in ("object", "oldObject", "request", "variables")
    }
)


def _evaluate(expression: str, **given: Manifest) -> Any:
    value = ENV.compile(expression).eval(data=given)
    # An error is a value too. In a cluster, it would refuse the request without saying why.
    assert value.type() != cel.Type.ERROR, value
    return value.plain_value()


def _refusals(old: Manifest, new: Manifest, user: str = USER) -> list[str] | None:
    """The messages of what fails when `user` replaces a pod; None if the policy is not asked."""
    policy = _policy()
    request = {"userInfo": {"username": user}, "namespace": "kinora", "operation": "UPDATE"}
    given: dict[str, Any] = {"object": new, "oldObject": old, "request": request, "variables": {}}
    for condition in policy["matchConditions"]:
        if not _evaluate(condition["expression"], **given):
            return None
    for variable in policy["variables"]:
        given["variables"][variable["name"]] = _evaluate(variable["expression"], **given)
    return [
        validation["message"]
        for validation in policy["validations"]
        if _evaluate(validation["expression"], **given) is not True
    ]


def _changed(pod: Manifest, *changes: Change) -> Manifest:
    new = copy.deepcopy(pod)
    for change in changes:
        change(new)
    return new


def _mark(pod: Manifest) -> None:
    pod["metadata"].setdefault("annotations", {})[ANNOTATION] = BUSY_COST
    # What the API server itself writes on every patch.
    pod["metadata"]["managedFields"] = [{"manager": "dispatch"}]


@pytest.mark.parametrize("pod", [POD, BARE_POD], ids=["full", "bare"])
def test_dispatch_may_mark_and_unmark_a_replica(pod: Manifest) -> None:
    """The deletion cost is added, changed and removed, also where it is the only annotation."""
    marked = _changed(pod, _mark)
    other = _changed(marked, lambda new: new["metadata"]["annotations"].update({ANNOTATION: "7"}))
    for old, new in [(pod, marked), (marked, other), (marked, pod), (pod, pod)]:
        assert _refusals(old, new) == []


REFUSED: dict[str, tuple[str, Change]] = {
    "an annotation": ("annotation", lambda p: p["metadata"]["annotations"].update(other="1")),
    "an annotation's value": (
        "annotation",
        lambda p: p["metadata"]["annotations"].update({"prometheus.io/scrape": "false"}),
    ),
    "a lost annotation": (
        "annotation",
        lambda p: p["metadata"]["annotations"].pop("prometheus.io/scrape"),
    ),
    "no annotations": ("annotation", lambda p: p["metadata"].pop("annotations")),
    "a label": ("labels", lambda p: p["metadata"]["labels"].update(other="1")),
    "no labels": ("labels", lambda p: p["metadata"].pop("labels")),
    "a finalizer": ("finalizers", lambda p: p["metadata"]["finalizers"].append("a.b/c")),
    "no finalizers": ("finalizers", lambda p: p["metadata"].pop("finalizers")),
    "an owner": ("owner references", lambda p: p["metadata"]["ownerReferences"].pop()),
    "no owners": ("owner references", lambda p: p["metadata"].pop("ownerReferences")),
    "a generated name": ("generated name", lambda p: p["metadata"].update(generateName="x-")),
    "an image": ("spec", lambda p: p["spec"]["containers"][0].update(image="evil")),
    "a deadline": ("spec", lambda p: p["spec"].update(activeDeadlineSeconds=1)),
}


@pytest.mark.parametrize("change", REFUSED)
def test_dispatch_may_change_nothing_else(change: str) -> None:
    """The message names what was refused, also if the replica is marked at the same time."""
    what, edit = REFUSED[change]
    for changes in ([edit], [_mark, edit]):
        refusals = _refusals(POD, _changed(POD, *changes))
        assert refusals is not None
        (message,) = refusals
        assert what in message
        assert message.startswith("dispatch may not change")


@pytest.mark.parametrize(
    "user",
    [
        "system:serviceaccount:other:dispatch",
        "system:serviceaccount:kinora:submit",
        "system:serviceaccount:kube-system:replicaset-controller",
        "system:node:gpus",
        "kubernetes-admin",
    ],
)
def test_patches_of_others_are_not_concerned(user: str) -> None:
    """A user of the same name in another namespace is another user."""
    _, edit = REFUSED["an image"]
    assert _refusals(POD, _changed(POD, edit), user) is None


@EACH_OVERLAY
def test_the_policy_covers_all_that_the_role_allows(name: str) -> None:
    """Whatever can't be checked is refused; the binding is for one namespace alone."""
    objects = overlay(name)
    policy = find(objects, "ValidatingAdmissionPolicy", NAME)["spec"]
    assert policy["failurePolicy"] == "Fail"
    (covered,) = policy["matchConstraints"]["resourceRules"]
    for rule in find(objects, "Role", "dispatch")["rules"]:
        assert set(rule["apiGroups"]) <= set(covered["apiGroups"])
        assert set(rule["resources"]) <= set(covered["resources"])
        assert {OPERATIONS[verb] for verb in rule["verbs"]} <= set(covered["operations"])
    binding = find(objects, "ValidatingAdmissionPolicyBinding", NAME)["spec"]
    assert binding == {
        "policyName": NAME,
        "validationActions": ["Deny"],
        "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kinora"}}
        },
    }


def test_each_namespace_has_a_policy_of_its_own() -> None:
    """Deployed into another namespace, it leaves the policy of the first alone."""
    done = subprocess.run(
        [KNATIVE / "render.sh", "h100"],
        env={
            "PATH": f"{Path(manifests.kubectl()).parent}:{os.environ['PATH']}",
            "REGISTRY": "registry.example", "TAG": "0123abcd", "NAMESPACE": "second",
        },
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    objects = list(yaml.safe_load_all(done.stdout))
    find(objects, "ValidatingAdmissionPolicy", "kinora-dispatch.second")
    name = "ValidatingAdmissionPolicyBinding"
    binding = find(objects, name, "kinora-dispatch.second")["spec"]
    assert binding["policyName"] == "kinora-dispatch.second"
    selector = binding["matchResources"]["namespaceSelector"]
    assert selector == {"matchLabels": {"kubernetes.io/metadata.name": "second"}}
