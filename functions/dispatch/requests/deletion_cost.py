"""Keeps Kubernetes from deleting a busy replica instead of an idle one.

When Knative scales down, Kubernetes deletes the newest pods, busy or not. A pod with a higher
`controller.kubernetes.io/pod-deletion-cost` is deleted later, so busy replicas are given one.
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
# Pods without the annotation count as 0; any higher value will do.
BUSY_COST: Final = "100"
# The response of `generate` is not read meanwhile, so this is much less than `silence_seconds`.
API_TIMEOUT_SECONDS: Final = 3.0
# Where Kubernetes mounts a pod's credentials for the API server.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_POD: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class DeletionCosts:
    """Annotates pods of its own namespace. Best effort: errors are logged, as a warning once."""

    def __init__(self, api: str, account: Path = SERVICE_ACCOUNT) -> None:
        """Call the API server at `api` as the service account whose files are in `account`."""
        self._account = account
        namespace = (account / "namespace").read_text().strip()
        self._pods = f"{api}/api/v1/namespaces/{namespace}/pods"
        certificates = ssl.create_default_context(cafile=str(account / "ca.crt"))
        # The API server is inside the cluster: proxy settings do not apply.
        self._client = httpx.Client(
            verify=certificates, timeout=API_TIMEOUT_SECONDS, trust_env=False
        )
        self._warned = False

    @classmethod
    def of_cluster(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """Use the service account of this pod; None outside a cluster, or without a token."""
        host, port = (environ.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
        if not host or not (SERVICE_ACCOUNT / "token").is_file():
            return None
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port or 443}")

    @contextlib.contextmanager
    def busy(self, pod: str | None) -> Iterator[None]:
        """Give `pod` a higher deletion cost until the block ends; a bad name is ignored."""
        if pod is None or _POD.fullmatch(pod) is None:
            yield
            return
        self._annotate(pod, BUSY_COST)
        try:
            yield
        finally:
            self._annotate(pod, None)

    def _annotate(self, pod: str, cost: str | None) -> None:
        try:
            # Read each time: Kubernetes rotates the token every hour.
            token = (self._account / "token").read_text().strip()
            response = self._client.patch(
                f"{self._pods}/{pod}",
                json={"metadata": {"annotations": {ANNOTATION: cost}}},
                headers={
                    "authorization": f"Bearer {token}",
                    "content-type": "application/merge-patch+json",
                },
            )
        except (httpx.HTTPError, OSError) as problem:
            self._log_failure(f"{type(problem).__name__}: {problem}")
            return
        # A pod that no longer exists needs no annotation.
        if response.is_error and response.status_code != httpx.codes.NOT_FOUND:
            self._log_failure(f"{response.status_code} {response.text[:200]}")

    def _log_failure(self, problem: str) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        log.log(level, "can't mark busy replicas, so scaling down may stop one: %s", problem)
