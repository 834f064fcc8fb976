"""Rights in the cluster: of containers, at the API server, and the Secrets that are read."""

from __future__ import annotations

import re

from tests.manifests import (
    EACH_OVERLAY,
    FUNCTIONS,
    KNATIVE,
    OVERLAYS,
    containers_of,
    environment,
    find,
    nats_files,
    overlay,
    pod_templates,
)
from tests.nats_users import accounts, imported, permissions


@EACH_OVERLAY
def test_pods_run_with_least_privilege(name: str) -> None:
    """No root, no writable root file system, no capabilities, no token of the API server."""
    for owner, template in pod_templates(overlay(name)):
        pod = template["spec"]
        holds_token = owner == "Deployment/dispatch"
        assert pod["automountServiceAccountToken"] is holds_token, owner
        assert pod["enableServiceLinks"] is False, owner
        for container in containers_of(template):
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
        for container in containers_of(template):
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
            for container in containers_of(template):
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
    lines = [line for text in nats_files(objects).values() for line in text.splitlines()]
    config = "\n".join(line for line in lines if not line.strip().startswith("#"))
    wanted = set(re.findall(r"\$(\w+)", config.replace("$JS", "")))
    assert wanted <= set(given)
    # A single server has no routes.
    assert all(name.startswith("ROUTE_") for name in set(given) - wanted)
    assert {user for user, _ in permissions()} >= {*FUNCTIONS, "setup"}


def test_each_function_is_alone_in_a_nats_account() -> None:
    """Only the account of the streams has any, and what the others import is what they may use.

    An answer goes to the account of who asked, so it can reach no subject that the user itself may
    not publish to.
    """
    found = accounts()
    assert [name for name, text in found.items() if "jetstream" in text] == ["KINORA"]
    users = {name: re.findall(r"user: (\w+)$", text, re.MULTILINE) for name, text in found.items()}
    assert users.pop("KINORA") == []  # the operator's, on one line with its password
    for account, names in users.items():
        assert names == [account.lower()]
        allowed = permissions()[account.lower(), "publish"]
        assert imported(account) == ["$JS.API.INFO", *allowed], account
    assert {name.lower() for name in users} == {user for user, _ in permissions()}
