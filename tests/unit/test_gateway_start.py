"""The gateway's start in a cluster, where it must find out who its upstreams are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from local.stack import ROOT

# What a pod's resolver looks like: in Kubernetes, in a cluster with a domain of its own, and with
# what a node adds behind.
IN_PODS = {
    "nameserver 10.96.0.10\nsearch kinora.svc.cluster.local svc.cluster.local cluster.local\n"
    "options ndots:5\n": "kinora.svc.cluster.local",
    "search team-a.svc.prod.example svc.prod.example example corp.lan\n": "team-a.svc.prod.example",
}


def _start(tmp_path: Path, resolver: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it with a `caddy` that says what it was given."""
    caddy = tmp_path / "caddy"
    caddy.write_text('#!/bin/sh\necho "$SUBMIT_UPSTREAM $STATUS_UPSTREAM $*"\n')
    caddy.chmod(0o755)
    (tmp_path / "resolv.conf").write_text(resolver)
    environ = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RESOLV_CONF": str(tmp_path / "resolv.conf"),
        **variables,
    }
    return subprocess.run(
        [str(ROOT / "ui" / "start.sh")], env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("resolver", "domain"), IN_PODS.items())
def test_upstreams_are_in_the_pods_own_namespace(
    tmp_path: Path, resolver: str, domain: str
) -> None:
    """The names that Knative routes by come from the search path of the pod."""
    said = _start(tmp_path, resolver).stdout
    assert said.startswith(f"submit.{domain}:80 status.{domain}:80 run ")


def test_upstreams_that_are_given_stay(tmp_path: Path) -> None:
    """Outside Knative an operator says where submit and status are."""
    said = _start(tmp_path, "", SUBMIT_UPSTREAM="a:1", STATUS_UPSTREAM="b:2").stdout
    assert said.startswith("a:1 b:2 ")


def test_without_a_namespace_it_says_what_is_missing(tmp_path: Path) -> None:
    """A gateway that can't know its upstreams does not start."""
    done = _start(tmp_path, "nameserver 1.1.1.1\nsearch lan\n")
    assert done.returncode == 1
    assert "SUBMIT_UPSTREAM" in done.stderr
