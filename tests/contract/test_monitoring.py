"""The alerts and the dashboard ask for metrics that exist, and each alert fires and clears."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.shared.metrics import TABLE
from local.stack import ROOT
from tests.prometheus import COMPONENT, program, rule_groups, runbook_queries

RUNBOOK = ROOT / "docs" / "operating.md"
ALERTS = {rule["alert"]: rule for group in rule_groups() for rule in group["rules"]}
LABELS = {metric.name: {*metric.labels, "le"} for metric in TABLE}
# Of Prometheus's own process collector; its targets have the label of their pod.
LABELS |= {name: {"pod"} for name in ("process_cpu_seconds_total", "process_resident_memory_bytes")}

LIST = 'kinora_http_request_seconds_count{function="status", route="/v1/videos"'
# For each alert: series as promtool writes them, one value a minute; a minute at which it fires,
# with its labels; and one at which it has cleared. `a+bxn` is n steps of b, from a.
CASES: dict[str, tuple[dict[str, str], int, dict[str, str], int]] = {
    "KinoraNoReplicaReady": (
        {'kinora_engine_state{state="idle"}': "0x20 1x20"},
        15,
        {},
        25,
    ),
    "KinoraQueueOld": ({"kinora_queue_oldest_seconds": "1900x15 10x20"}, 10, {}, 20),
    "KinoraVideosFailing": (
        {
            'kinora_video_events_total{event="failed", code="engine_crashed"}': "0+1x20 20x60",
            'kinora_video_events_total{event="completed", code=""}': "0+2x80",
        },
        15,
        {},
        70,
    ),
    "KinoraEngineRestarting": (
        {'kinora_engine_restarts_total{reason="hung"}': "0+1x5 5x120"},
        10,
        {"reason": "hung"},
        100,
    ),
    "KinoraGpuLost": (
        {'kinora_gpu_answering{gpu="0", uuid="GPU-a"}': "1x5 0x5 1x10"},
        8,
        {"gpu": "0", "uuid": "GPU-a"},
        15,
    ),
    "KinoraGpuError": (
        {'kinora_gpu_xid_errors_total{gpu="0", uuid="GPU-a", xid="79"}': "_x5 1x40"},
        7,
        {"gpu": "0", "uuid": "GPU-a", "xid": "79"},
        35,
    ),
    "KinoraGpuThrottled": (
        {'kinora_gpu_throttled{gpu="0", uuid="GPU-a", reason="thermal"}': "1x20 0x20"},
        15,
        {"gpu": "0", "uuid": "GPU-a", "reason": "thermal"},
        25,
    ),
    "KinoraFunctionMissing": (
        {
            'kinora_nats_connected{function="submit"}': "1x60",
            'kinora_nats_connected{function="status"}': "_x20 1x40",
            'kinora_nats_connected{function="dispatch"}': "1x60",
            'kinora_nats_connected{function="generate"}': "1x60",
        },
        15,
        {"function": "status"},
        30,
    ),
    "KinoraRequestsFailing": (
        {
            f'{LIST}, status="500"}}': "0+6x30 180x30",
            f'{LIST}, status="200"}}': "0+60x60",
        },
        20,
        {"function": "status"},
        50,
    ),
    "KinoraStoreRefusing": (
        {'kinora_store_errors_total{operation="PutObject", code="AccessDenied"}': "0+1x20 20x40"},
        15,
        {"operation": "PutObject", "code": "AccessDenied"},
        40,
    ),
    "KinoraNatsDisconnected": (
        {'kinora_nats_connected{function="submit"}': "0x10 1x10"},
        5,
        {"function": "submit"},
        15,
    ),
    "KinoraNatsNotStoring": (
        {'kinora_publish_seconds_count{stream="VIDEOS", outcome="unknown"}': "0+1x20 20x40"},
        15,
        {"stream": "VIDEOS"},
        40,
    ),
    "KinoraStreamNearLimit": (
        {
            'kinora_stream_bytes{stream="REQUESTS"}': "900x30 100x30",
            'kinora_stream_limit_bytes{stream="REQUESTS"}': "1000x60",
        },
        25,
        {"stream": "REQUESTS"},
        40,
    ),
    "KinoraIndexBehind": (
        {'kinora_index_lag_messages{stream="VIDEOS"}': "500x15 0x15"},
        10,
        {"stream": "VIDEOS"},
        20,
    ),
    "KinoraWebhooksStuck": (
        {'kinora_webhook_oldest_seconds{account="acme"}': "3700+60x15 0x15"},
        10,
        {"account": "acme"},
        20,
    ),
    "KinoraAccountsFileRefused": ({"kinora_accounts_file_in_use": "0x15 1x15"}, 10, {}, 20),
}


def _dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((COMPONENT / "dashboard.json").read_text())
    return found


def _expressions() -> list[str]:
    panels = [target["expr"] for p in _dashboard()["panels"] for target in p.get("targets", [])]
    return [*panels, *(rule["expr"] for rule in ALERTS.values())]


def test_queries_ask_for_metrics_that_exist() -> None:
    """With labels that they have: in the dashboard, in the alerts, and in the runbook."""
    asked = [query for query in runbook_queries() if "kinora_" in query]
    assert len(asked) > 20
    expressions = [*_expressions(), *asked]
    assert len(expressions) > 80
    for expression in expressions:
        labels: set[str] = set()
        for name, matchers in re.findall(r"\b((?:kinora|process)_\w+)(?:\{([^}]*)\})?", expression):
            known = _labels_of(name)
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= known, expression
            labels |= known
        # Prometheus adds the pod to each target.
        labels.add("pod")
        groups = re.findall(r"by \(([^)]*)\)", expression)
        grouped = {label.strip() for group in groups for label in group.split(",")}
        assert grouped <= labels, expression


def _labels_of(name: str) -> set[str]:
    """The labels of a metric, or of the metric of which `name` is a part."""
    found = LABELS.get(name) or LABELS.get(re.sub(r"_(bucket|sum|count)$", "", name))
    assert found is not None, f"there is no metric {name}"
    return found


def test_every_metric_is_in_the_dashboard() -> None:
    """What nobody can see need not be measured."""
    shown = " ".join(_expressions())
    assert not [metric.name for metric in TABLE if metric.name not in shown]


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    """Grafana would move them, and links to them would lead elsewhere."""
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_every_alert_has_its_section_in_the_runbook() -> None:
    """The alert links to it by the heading's anchor."""
    headings = re.findall(r"^### (Kinora\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The alerts in a file that promtool reads."""
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": rule_groups()}))
    return tmp_path / "rules.yml"


def _promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules(rules: Path) -> None:
    """Their queries and templates too."""
    _promtool("check", "rules", rules)


def test_every_alert_is_tried() -> None:
    """With the name that it has."""
    assert CASES.keys() == ALERTS.keys()


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_and_clears(name: str, rules: Path) -> None:
    """It fires once its time has passed, with the labels that say what it is about."""
    series, fires, labels, clears = CASES[name]
    firing = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    shown = ",".join(
        f'{key}="{value}"'
        for key, value in {
            "alertname": name,
            "alertstate": "firing",
            "severity": ALERTS[name]["labels"]["severity"],
            **labels,
        }.items()
    )
    test = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": "0m", "exp_samples": []},
            {
                "expr": firing,
                "eval_time": f"{fires}m",
                "exp_samples": [{"labels": f"ALERTS{{{shown}}}", "value": 1}],
            },
            {"expr": firing, "eval_time": f"{clears}m", "exp_samples": []},
        ],
    }
    file = rules.with_name("test.yml")
    file.write_text(
        yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": [test]})
    )
    _promtool("test", "rules", file)
