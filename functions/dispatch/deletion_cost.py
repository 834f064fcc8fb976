"""Keeps a replica that makes a video from being deleted in place of an idle one.

When Knative scales down, Kubernetes deletes the newest pods, busy or not. A pod with a higher
`controller.kubernetes.io/pod-deletion-cost` goes later, so a replica has one while it is busy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

import httpx

log = logging.getLogger(__name__)

ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
# Any more than the 0 of pods without one.
BUSY: Final = "100"
# The response of `generate` is not read meanwhile, so this is much less than `silence_seconds`.
TIMEOUT: Final = 3.0
# Where Kubernetes puts what a pod needs to talk to its API server.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_POD: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class DeletionCosts:
    """Marks pods of its own namespace. Only a hint: whatever goes wrong is logged, once."""

    def __init__(self, api: str, account: Path = SERVICE_ACCOUNT) -> None:
        """Talk to the API server at `api` as the service account whose files are in `account`."""
        self._account = account
        namespace = (account / "namespace").read_text().strip()
        self._pods = f"{api}/api/v1/namespaces/{namespace}/pods"
        certificates = ssl.create_default_context(cafile=str(account / "ca.crt"))
        # The API server is in the cluster, and behind no proxy.
        self._client = httpx.Client(verify=certificates, timeout=TIMEOUT, trust_env=False)
        self._complained = False

    @classmethod
    def of_cluster(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """As the pod that this process runs in; None outside a cluster, or without a token."""
        host, port = (environ.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
        if not host or not (SERVICE_ACCOUNT / "token").is_file():
            return None
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port or 443}")

    @contextlib.contextmanager
    def busy(self, pod: str | None) -> Iterator[None]:
        """Have `pod` deleted later than others until the block ends."""
        if pod is None or _POD.fullmatch(pod) is None:
            yield
            return
        self._set(pod, BUSY)
        try:
            yield
        finally:
            self._set(pod, None)

    def _set(self, pod: str, cost: str | None) -> None:
        try:
            # Read anew: a token is replaced every hour.
            token = (self._account / "token").read_text().strip()
            answer = self._client.patch(
                f"{self._pods}/{pod}",
                json={"metadata": {"annotations": {ANNOTATION: cost}}},
                headers={
                    "authorization": f"Bearer {token}",
                    "content-type": "application/merge-patch+json",
                },
            )
        except (httpx.HTTPError, OSError) as problem:
            self._complain(f"{type(problem).__name__}: {problem}")
            return
        # A pod that is gone needs no mark.
        if answer.is_error and answer.status_code != httpx.codes.NOT_FOUND:
            self._complain(f"{answer.status_code} {answer.text[:200]}")

    def _complain(self, problem: str) -> None:
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        log.log(level, "busy replicas can't be marked, so scaling down may stop one: %s", problem)
