"""Rights in the cluster: of containers, at the API server, and the Secrets that are read."""

from __future__ import annotations

import re

from tests.manifests import (
    EACH_OVERLAY,
    FUNCTIONS,
    KNATIVE,
    OVERLAYS,
    Manifest,
    environment,
    find,
    overlay,
    pod_templates,
)
from tests.nats_users import permissions


@EACH_OVERLAY
def test_pods_run_with_least_privilege(name: str) -> None:
    """No root, no writable root file system, no capabilities, no token of the API server."""
    for owner, template in pod_templates(overlay(name)):
        pod = template["spec"]
        holds_token = owner == "Deployment/dispatch"
        assert pod["automountServiceAccountToken"] is holds_token, owner
        assert pod["enableServiceLinks"] is False, owner
        for container in pod["containers"]:
            context = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert context["runAsNonRoot"] is True, owner
            assert context["readOnlyRootFilesystem"] is True, owner
            assert context["allowPrivilegeEscalation"] is False, owner
            assert context["capabilities"] == {"drop": ["ALL"]}, owner
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, owner
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, owner
            assert "memory" in container["resources"]["limits"], owner


@EACH_OVERLAY
def test_only_dispatch_has_a_role(name: str) -> None:
    """`dispatch` may patch pods of its own namespace; nothing else may use the API server."""
    objects = overlay(name)
    assert not [item for item in objects if item["kind"].startswith("ClusterRole")]
    (role,) = [item for item in objects if item["kind"] == "Role"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    (binding,) = [item for item in objects if item["kind"] == "RoleBinding"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "dispatch"}]


@EACH_OVERLAY
def test_no_secret_is_in_git(name: str) -> None:
    """Manifests only refer to Secrets; `make deploy` creates them."""
    assert [item for item in overlay(name) if item["kind"] == "Secret"] == []
    for owner, template in pod_templates(overlay(name)):
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                if re.search("PASSWORD|TOKEN|SECRET|KEY", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], owner


def test_deploying_creates_every_secret_that_is_read() -> None:
    """secrets.sh creates every key of a Secret that a manifest reads, but for optional ones."""
    script = (KNATIVE / "secrets.sh").read_text()
    loop = re.search(r"for user in ([a-z ]+); do\n  add nats", script)
    assert loop is not None
    created = {f"nats/{user}" for user in loop[1].split()} | {"s3/*"}
    for name in OVERLAYS:
        for _, template in pod_templates(overlay(name)):
            for container in template["spec"]["containers"]:
                for variable in container.get("env", []):
                    reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
                    if reference and not reference.get("optional"):
                        assert f"{reference['name']}/{reference['key']}" in created


@EACH_OVERLAY
def test_nats_has_a_password_for_every_user(name: str) -> None:
    """The server's environment has each password of its configuration, and each function a user."""
    objects = overlay(name)
    (server,) = find(objects, "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
    given = environment(objects, server)
    data = find(objects, "ConfigMap", _nats_config_map(objects))["data"]
    lines = [line for text in data.values() for line in text.splitlines()]
    config = "\n".join(line for line in lines if not line.strip().startswith("#"))
    wanted = set(re.findall(r"\$([A-Z_]+)", config.replace("$JS", "")))
    # A single server has no routes.
    assert wanted - {"ROUTE_PASSWORD"} == set(given) - {"ROUTE_PASSWORD"}
    assert {user for user, _ in permissions()} >= {*FUNCTIONS, "setup"}


def _nats_config_map(objects: list[Manifest]) -> str:
    volumes = find(objects, "StatefulSet", "nats")["spec"]["template"]["spec"]["volumes"]
    return str(next(v["configMap"]["name"] for v in volumes if "configMap" in v))
