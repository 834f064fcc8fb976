"""What the functions' metrics say while a video is made and read."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

import pytest
import requests
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from functions.dispatch.webhooks.backlog import Backlog, WebhookBacklog
from functions.generate.engine.parent.activity import EngineState
from functions.generate.gpus.gpu_metrics import GpuMetrics
from functions.generate.gpus.watch import GpuWatch
from functions.shared import metrics
from functions.shared.metrics import ALL, DISPATCH, GENERATE, STATUS, SUBMIT, TABLE
from functions.shared.video.progress import Stage
from tests.e2e.client import TINY, Client
from tests.engines import STEPS, Engines
from tests.fakes.nvml_stand_in import StandInGpu, StandInNvml
from tests.harness import RunningStack
from tests.patience import scaled, wait_until
from tests.prometheus import COMPONENT, Prometheus, rule_groups, runbook_queries, running

# Exist where ACCOUNTS_FILE is set: tests/integration/test_accounts.py and test_webhooks.py.
OF_ACCOUNTS = {
    metric.name
    for metric in (
        metrics.ACCOUNTS_FILE_IN_USE,
        metrics.WEBHOOK_ATTEMPTS,
        metrics.WEBHOOK_PENDING,
        metrics.WEBHOOK_OLDEST_SECONDS,
    )
}

# Has data only while the object store refuses; tests/integration/test_store_failures.py lets it.
WITHOUT_DATA = "sum by (operation, code) (rate(kinora_store_errors_total"

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]


class Scrape:
    """The metrics of all replicas of a function, added up."""

    def __init__(self, kinora: RunningStack, function: str) -> None:
        """Ask each replica now."""
        self.names: set[str] = set()
        self._samples: Samples = defaultdict(float)
        processes = [p for p in kinora.table if p == function or p.startswith(f"{function}-")]
        assert processes
        for process in processes:
            port = kinora.table[process].probe.port
            url = f"http://127.0.0.1:{port}/metrics"
            answer = requests.get(url, timeout=scaled(10))
            answer.raise_for_status()
            for family in text_string_to_metric_families(answer.text):
                total = "_total" if family.type == "counter" else ""
                self.names.add(f"{family.name}{total}")
                for sample in family.samples:
                    labels = frozenset(sample.labels.items())
                    self._samples[sample.name, labels] += sample.value

    def value(self, name: str, **labels: str) -> float:
        """The value of a sample; 0 if there is none."""
        return self._samples.get((name, frozenset(labels.items())), 0.0)

    def total(self, name: str) -> float:
        """All samples of a name, added up."""
        return sum(value for (found, _), value in self._samples.items() if found == name)


@pytest.mark.parametrize("function", ALL)
def test_a_function_exposes_what_the_table_says(kinora: RunningStack, function: str) -> None:
    """All of it from the start, so that a first increase is seen; and nothing else."""
    names = {name for name in Scrape(kinora, function).names if name.startswith("kinora_")}
    expected = {metric.name for metric in TABLE if function in metric.functions}
    assert names == expected - OF_ACCOUNTS


def test_a_video_leaves_its_traces(client: Client, kinora: RunningStack) -> None:
    """Where it waited, its stages, its frames, who used the GPU, and what went to the store."""
    before = Scrape(kinora, GENERATE)
    video = client.create(**TINY)
    video = client.wait(video["id"], "completed")
    after = Scrape(kinora, GENERATE)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    for event in ("started", "completed"):
        assert grown("kinora_video_events_total", event=event, code="") == 1
    assert grown("kinora_attempts_total", number="1") == 1
    assert grown("kinora_queue_seconds_count") == 1
    assert grown("kinora_queue_seconds_sum") < scaled(30)
    for stage in Stage:
        assert grown("kinora_stage_seconds_count", stage=stage) == 1
    timings = video["timings"]
    spent = grown("kinora_stage_seconds_sum", stage="denoising")
    assert spent == pytest.approx(timings["denoising"], abs=0.002)
    steps = video["num_inference_steps"]
    assert grown("kinora_step_seconds_sum") == pytest.approx(spent / steps, abs=0.002)
    assert grown("kinora_frames_total") == video["num_frames"]
    used = grown("kinora_gpu_seconds_total", account="default")
    ranks = video["engine"]["ranks"]
    assert used == pytest.approx(ranks * sum(timings.values()), abs=0.01)
    # Its three files and the record; a check of the store may have come between.
    assert grown("kinora_store_seconds_count", operation="PutObject") >= 4
    assert grown("kinora_store_errors_total", operation="PutObject", code="") == 0


def test_the_engine_and_the_streams_leave_traces(client: Client, kinora: RunningStack) -> None:
    """What the engine did, how it started, and what was published; no GPU where there is none."""
    before = Scrape(kinora, GENERATE)
    video = client.create(**TINY)
    client.wait(video["id"], "completed")
    after = Scrape(kinora, GENERATE)
    rendering = after.value("kinora_engine_seconds_total", state="rendering") - before.value(
        "kinora_engine_seconds_total", state="rendering"
    )
    assert 0 < rendering < scaled(60)
    states = {state: after.value("kinora_engine_state", state=state) for state in EngineState}
    assert sum(states.values()) == 2
    assert after.value("kinora_engine_start_seconds", part="load") > 0
    assert after.value("kinora_engine_start_seconds", part="warm_up") > 0
    assert after.total("kinora_engine_info") == 2
    stored = {"stream": "VIDEOS", "outcome": "stored"}
    name = "kinora_publish_seconds_count"
    assert after.value(name, **stored) - before.value(name, **stored) >= 2
    assert after.total("kinora_gpu_answering") == 0
    submitted = Scrape(kinora, SUBMIT).value(name, stream="REQUESTS", outcome="stored")
    assert submitted >= 1
    for function, replicas in ((SUBMIT, 1), (STATUS, 1), (DISPATCH, 1), (GENERATE, 2)):
        scrape = Scrape(kinora, function)
        assert scrape.value("kinora_nats_connected", function=function) == replicas


def test_the_streams_and_the_index_are_told_of(client: Client, kinora: RunningStack) -> None:
    """How large they are, and how far behind."""
    client.create(**TINY)
    wait_until(
        lambda: Scrape(kinora, DISPATCH).value("kinora_stream_bytes", stream="REQUESTS") > 0,
        seconds=60,
        what="the streams were sampled",
    )
    dispatch = Scrape(kinora, DISPATCH)
    assert dispatch.value("kinora_stream_messages", stream="REQUESTS") >= 1
    assert dispatch.value("kinora_stream_limit_bytes", stream="REQUESTS") == 1 << 30
    assert dispatch.value("kinora_stream_limit_bytes", stream="VIDEOS") == 0, "it has no limit"
    status = Scrape(kinora, STATUS)
    assert status.value("kinora_index_videos") >= 1
    assert status.value("kinora_index_replays_total") >= 1
    wait_until(
        lambda: Scrape(kinora, STATUS).total("kinora_index_lag_messages") == 0,
        seconds=60,
        what="the index has everything",
    )


def test_the_queue_is_told_by_account(
    client: Client, engines: Engines, kinora: RunningStack
) -> None:
    """Videos that wait and that are made, and for how long the oldest has waited."""
    engines.hold()
    videos = [client.create(**STEPS)["id"] for _ in range(3)]

    def told() -> bool:
        scrape = Scrape(kinora, STATUS)
        counts = [
            scrape.value("kinora_queue_videos", account="default", state=state)
            for state in ("waiting", "running")
        ]
        return counts == [1, 2] and scrape.value("kinora_queue_oldest_seconds") > 0

    wait_until(told, seconds=30, what="one waits, and two are made")
    for video in videos:
        client.cancel(video)
    engines.resume()
    wait_until(
        lambda: Scrape(kinora, STATUS).value("kinora_queue_oldest_seconds") == 0,
        seconds=30,
        what="none waits",
    )


def test_refusals_are_counted_by_their_code(kinora: RunningStack) -> None:
    """Whatever refused them."""
    before = Scrape(kinora, SUBMIT)
    url = f"{kinora.url}/v1/videos"
    codes = set()
    for body in ({"prompt": 1}, {"prompt": 2}):
        refused = requests.post(url, json=body, timeout=scaled(10))
        assert refused.status_code == 400
        codes.add(refused.json()["error"]["code"])
    after = Scrape(kinora, SUBMIT)
    labels = {"function": SUBMIT, "code": codes.pop()}
    name = "kinora_http_errors_total"
    assert after.value(name, **labels) - before.value(name, **labels) == 2


def test_open_event_streams_are_counted(kinora: RunningStack) -> None:
    """While they are open, and no longer."""

    def open_streams() -> float:
        return Scrape(kinora, STATUS).value("kinora_open_event_streams")

    wait_until(lambda: open_streams() == 0, seconds=60, what="none is left of other tests")
    with requests.get(f"{kinora.url}/v1/events", stream=True, timeout=scaled(30)) as feed:
        # Without a name for it, the iterator would end here, and with it the connection.
        lines = feed.iter_lines()
        next(lines)
        assert open_streams() == 1
    wait_until(lambda: open_streams() == 0, seconds=60, what="it is closed")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of what this stack does not have: GPUs, and accounts with webhooks.

    Kinora's own collectors expose them. Behind that of GPUs is a stand-in for NVIDIA's library.
    """
    registry = CollectorRegistry()
    gpu = StandInGpu("GPU-stand-in")
    nvml = StandInNvml([gpu])
    nvml.report_xid(gpu, 79)
    gpus = GpuWatch(cast("Any", nvml))
    gpus.start()
    registry.register(GpuMetrics(gpus.reports))
    backlog = WebhookBacklog()
    backlog.put({"acme": Backlog(2, time.time_ns())})
    registry.register(backlog)
    metrics.WEBHOOK_ATTEMPTS.on(registry).labels("acme", "delivered").inc()
    metrics.ACCOUNTS_FILE_IN_USE.on(registry).set(1)
    # A compiled engine's start; the demo's is not compiled.
    graphs = metrics.ENGINE_GRAPHS.on(registry)
    graphs.labels("compiled").set(2)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield server.server_port
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module")
def prometheus(
    kinora: RunningStack, elsewhere: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the whole stack."""
    functions = [name for name, process in kinora.table.items() if process.role == "function"]
    targets = {name: kinora.table[name].probe.port for name in functions}
    folder = tmp_path_factory.mktemp("prometheus")
    with running(folder, {**targets, "elsewhere": elsewhere}) as server:
        wait_until(
            lambda: [*server.targets().values()] == ["up"] * (len(targets) + 1),
            seconds=60,
            what="everything is scraped",
        )
        yield server


def test_the_dashboard_has_data(
    client: Client, engines: Engines, kinora: RunningStack, prometheus: Prometheus
) -> None:
    """While videos are made, and callers are refused."""
    wait_until(lambda: prometheus.query("kinora_queue_seconds_count"), seconds=30, what="a scrape")
    refused = requests.post(f"{kinora.url}/v1/videos", json={"prompt": 1}, timeout=scaled(10))
    assert refused.status_code == 400
    engines.hold()
    videos = [client.create(**TINY)["id"] for _ in range(3)]
    wait_until(
        lambda: prometheus.query("kinora_queue_videos"), seconds=30, what="the queue is seen"
    )
    engines.resume()
    for video in videos:
        client.wait(video, "completed")
    with requests.get(f"{kinora.url}/v1/events", stream=True, timeout=scaled(30)) as feed:
        lines = feed.iter_lines()
        next(lines)
        panels = json.loads((COMPONENT / "dashboard.json").read_text())["panels"]
        queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
        assert len(queries) > 50
        for query in queries:
            # Also what had data only for a moment, such as the queue.
            expression = f"last_over_time(({query.replace('$__rate_interval', '1m')})[2m:1s])"
            if query.startswith(WITHOUT_DATA):
                prometheus.query(expression)
                continue
            wait_until(
                lambda expression=expression: prometheus.query(expression),  # type: ignore[misc]
                seconds=30,
                what=f"data for {expression}",
            )


def test_the_alerts_are_evaluated(prometheus: Prometheus) -> None:
    """Without errors; of a healthy stack, only the staged error of a GPU is told."""

    def evaluated() -> list[dict[str, Any]] | None:
        groups = prometheus.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] == "ok" for rule in rules) else None

    rules = wait_until(evaluated, seconds=60, what="all alerts were evaluated")
    assert len(rules) == sum(len(group["rules"]) for group in rule_groups())
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing == {"KinoraGpuError"}


def test_the_queries_of_the_runbook_have_data(prometheus: Prometheus) -> None:
    """All that do not ask for a fault that this stack does not have."""
    faults = ("kinora_store_errors_total", 'number!="1"', 'reason!="power_cap"')
    wait_until(lambda: prometheus.query("ALERTS"), seconds=60, what="the staged alert fires")
    for query in runbook_queries():
        expression = f"last_over_time(({query})[2m:1s])"
        found = prometheus.query(expression)
        assert found or any(fault in query for fault in faults), query
