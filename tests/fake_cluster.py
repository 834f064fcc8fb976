"""Runs the scripts of `knative/` with stand-ins for kubectl, kind, docker and buildah."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.manifests import KNATIVE, Manifest, kubectl

# A kubectl that keeps Secrets and applied objects in files, logs every call, and answers as a
# cluster would. Like the real one, `apply --prune` deletes those objects of the listed kinds that
# have the labels and are not in the file, and were applied before.
STAND_IN = """#!/usr/bin/env python3
import json, os, pathlib, re, sys

def has_labels(item, selector):
    labels = item["metadata"].get("labels", {})
    return all(labels.get(k) == v for k, v in (pair.split("=") for pair in selector.split(",")))

def identity(item):
    group, _, version = item["apiVersion"].rpartition("/")
    return f"{group or 'core'}/{version}/{item['kind']}", item["metadata"]["name"]

def apply(args, text):
    import yaml  # takes longer than all the rest, and few calls need it
    selector = args[args.index("-l") + 1] if "-l" in args else None
    given = [item for item in yaml.load_all(text, yaml.CSafeLoader) if item]
    given = [item for item in given if selector is None or has_labels(item, selector)]
    kinds = {arg.partition("=")[2] for arg in args if arg.startswith("--prune-allowlist=")}
    known = {identity(item): item for item in json.loads(objects.read_text())}
    names = {identity(item) for item in given}
    if "--prune" in args:
        known = {
            (kind, name): item for (kind, name), item in known.items()
            if (kind, name) in names or kind not in kinds or not has_labels(item, selector)
        }
    known |= {identity(item): item for item in given}
    objects.write_text(json.dumps(list(known.values())))

args, state = sys.argv[1:], pathlib.Path(os.environ["STATE"])
objects = state / "objects"
if args[0] == "kustomize":
    os.execv(os.environ["KUBECTL"], ["kubectl", *args])
namespace = None
if args[0] == "-n":
    namespace, args = args[1], args[2:]
file = None
for flag in ("-f", "--patch-file"):
    if flag in args:
        name = args[args.index(flag) + 1]
        if name in ("-", "/dev/stdin"):
            file = sys.stdin.read()
        elif not name.startswith("https:"):
            file = pathlib.Path(name).read_text()
with (state / "log").open("a") as log:
    log.write(json.dumps({"namespace": namespace, "args": args, "file": file}) + "\\n")
secret = state / f"secret-{args[2] if len(args) > 2 else ''}"
if args[:2] == ["get", "secret"]:
    if not secret.exists():
        sys.exit("not found")
    path = args[args.index("-o") + 1] if "-o" in args else ""
    key = re.search(r"data[.](\\w+)", path)
    print(json.loads(secret.read_text()).get(key[1], "") if key else "there")
elif args[:3] == ["create", "secret", "generic"]:
    (state / f"secret-{args[3]}").write_text("{}")
elif args[:2] == ["patch", "secret"]:
    secret.write_text(json.dumps(json.loads(secret.read_text()) | json.loads(file)["stringData"]))
elif args[0] == "apply" and file and "-k" not in args:
    apply(args, file)
elif args[:2] == ["get", "storageclass"]:
    print("" if args[2] in os.environ.get("MISSING", "").split() else f"storageclass/{args[2]}")
elif args[:2] == ["get", "namespace"]:
    sys.exit("not found")
elif args[:2] == ["get", "revisions.serving.knative.dev"]:
    print("generate-00001 Ready\\ngenerate-00002 ProgressDeadlineExceeded\\nui-00001")
elif args[0] == "get" and args[1].startswith("job/"):
    print(os.environ.get("JOB", "SuccessCriteriaMet Complete"))
elif args[0] == "logs":
    print("the end of the log of", args[1])
elif args[0] == "api-resources":
    for name in ("alertmanagers", "podmonitors", "prometheusrules"):
        if "monitoring" not in os.environ.get("MISSING", "").split():
            print(name + ".monitoring.coreos.com")
elif args[:2] == ["get", "networkpolicy"]:
    print("443 6443 8443 16443")
elif args[:2] == ["get", "endpointslices"]:
    print(os.environ.get("API_PORTS", "6443"))
elif args[0] == "version":
    print(json.dumps({"clientVersion": {"gitVersion": os.environ.get("VERSION", "v1.35.2")}}))
elif args == ["config", "current-context"]:
    print(os.environ.get("CONTEXT", "kind-kinora"))
"""
# A kind, docker and buildah that log every call, and report versions. The digest of an image is
# that of its name.
ENGINE = """#!/bin/sh
name="$(basename "$0")"
echo "$name $*" >> "$STATE/engine"
for last in "$@"; do :; done
digest="sha256:$(printf %s "$last" | sha256sum | sed 's/ .*//')"
case "$name $*" in
  *" push "*"${UNREACHABLE:-no image}") echo "denied" >&2; exit 1 ;;
  "docker push "*) echo "The push refers to $last"; echo "a-tag: digest: $digest size: 856" ;;
  "buildah push --digestfile "*) echo "$digest" > "$3" ;;
  "docker buildx imagetools inspect "*) echo "$digest" ;;
  "docker version "*) echo "${DOCKER:-28.2.2}" ;;
  "docker info "*) cat "$STATE/machine" ;;
  "kind version") echo "kind v${KIND:-0.30.0} go1.24.6 linux/amd64" ;;
  "kind get clusters") echo "${CLUSTERS:-}" ;;
esac
"""
# What docker says of its machine.
MACHINE = {"NCPU": 8, "MemTotal": 16_000_000_000, "DockerRootDir": "/in/a/virtual/machine"}
# The only other programs that the scripts find: none of this machine's own.
SYSTEM = (
    "basename", "cat", "date", "dirname", "env", "grep", "mkdir", "mktemp", "mv", "od", "rm", "sed",
    "sh", "sha256sum", "sleep", "sort", "tee", "tr",
)  # fmt: skip


class FakeCluster:
    """Runs the scripts, and records what they ask the programs for."""

    def __init__(self, folder: Path, scripts: Path = KNATIVE) -> None:
        """Keep programs and their state in `folder`; `scripts` is `knative/`, or a copy of it."""
        self._folder = folder
        self._scripts = scripts
        (folder / "objects").write_text("[]")
        program = folder / "kubectl"
        program.write_text(STAND_IN)
        program.chmod(0o755)
        for name in ("kind", "docker", "buildah"):
            (folder / name).write_text(ENGINE)
            (folder / name).chmod(0o755)
        for name in SYSTEM:
            (folder / name).symlink_to(shutil.which(name) or name)
        (folder / "python3").symlink_to(sys.executable)
        self.describe_machine()

    def describe_machine(self, **differences: Any) -> None:
        """Let docker describe a machine that is large enough, but for these differences."""
        (self._folder / "machine").write_text(json.dumps(MACHINE | differences))

    def remove(self, program: str) -> None:
        """Let a program be missing."""
        (self._folder / program).unlink()

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script of knative/."""
        environ = {
            "PATH": str(self._folder),
            "STATE": str(self._folder),
            "KUBECTL": kubectl(),
            "NAMESPACE": "here",
            **variables,
        }
        return subprocess.run(
            [self._scripts / script], env=environ, capture_output=True, text=True, check=False
        )

    @property
    def objects(self) -> list[Manifest]:
        """The objects that were applied and not pruned."""
        found: list[Manifest] = json.loads((self._folder / "objects").read_text())
        return found

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Every call of kubectl, in order."""
        log = self._folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def engine_calls(self) -> list[str]:
        """Every call of docker, buildah and kind, in order."""
        log = self._folder / "engine"
        return log.read_text().splitlines() if log.exists() else []

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret."""
        values: dict[str, str] = json.loads((self._folder / f"secret-{name}").read_text())
        return values
