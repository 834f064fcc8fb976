"""A real Prometheus that scrapes what a test names, and promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from local.stack import ROOT
from tests.manifests import KNATIVE
from tests.patience import scaled, wait_until
from tests.ports import free_ports

COMPONENT = KNATIVE / "components" / "monitoring"


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`.

    Raises:
        AssertionError: it is missing; the message says how to install it.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found is not None, f"{name} is missing: `make prometheus` installs it into .venv"
    return found


def rule_groups() -> list[dict[str, Any]]:
    """The groups of alerts, as a Prometheus without the operator reads them."""
    groups: list[dict[str, Any]] = yaml.safe_load((COMPONENT / "rules.yaml").read_text())["spec"][
        "groups"
    ]
    return groups


def runbook_queries() -> list[str]:
    """What docs/operating.md asks Prometheus."""
    text = (ROOT / "docs" / "operating.md").read_text()
    return [re.sub(r"\s+", " ", query) for query in re.findall(r"\bask\s+'([^']+)'", text)]


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API."""
        answer = requests.get(
            f"{self._url}/api/v1/{path}", params=parameters, timeout=scaled(30)
        ).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, now."""
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def targets(self) -> dict[str, str]:
        """The health of each target, by its address: `up`, `down` or `unknown`."""
        return {
            target["labels"]["instance"]: target["health"]
            for target in self.get("targets")["activeTargets"]
        }


@contextmanager
def running(folder: Path, targets: Mapping[str, int]) -> Iterator[Prometheus]:
    """A server that scrapes ports of this machine every second, and has the alerts.

    Args:
        folder: for its data and its log.
        targets: the port of each target, and the label `pod` that it gets.
    """
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": rule_groups()}))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": "kinora",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod}}
                    for pod, port in targets.items()
                ],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    argv = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _is_ready(process, url, log), seconds=60, what="Prometheus is ready")
            yield Prometheus(url)
        finally:
            process.terminate()


def _is_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return requests.get(f"{url}/-/ready", timeout=scaled(5)).ok
    except requests.ConnectionError:
        return False
