"""The replicas that Knative's autoscaler asks for, computed from the manifests as it does."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from functions.setup.streams import turns_consumer
from tests.manifests import (
    EACH_OVERLAY,
    KNATIVE,
    OVERLAYS,
    Manifest,
    container_of,
    find,
    overlay,
    render,
    settings_of,
)

PREFIX = "autoscaling.knative.dev/"
# Those with the default bounds: 2 to 4 replicas.
EACH_BOUNDED_OVERLAY = pytest.mark.parametrize("name", [n for n in OVERLAYS if n != "h100-fleet"])


def replicas(in_flight: int, annotations: Mapping[str, str], concurrency: int) -> int:
    """The replicas asked for when `in_flight` requests stay open for longer than the window.

    Knative Serving, pkg/autoscaler/scaling/autoscaler.go and pkg/reconciler/autoscaling/kpa: the
    load is divided by the target (containerConcurrency times the target utilization), rounded up,
    and clamped to min-scale and max-scale. Requests that wait in the activator count.
    """
    utilization = float(annotations[f"{PREFIX}target-utilization-percentage"]) / 100
    wanted = math.ceil(in_flight / (concurrency * utilization))
    least, most = (int(annotations[f"{PREFIX}{end}-scale"]) for end in ("min", "max"))
    return min(max(wanted, least), most)


def _generate(name: str) -> tuple[dict[str, str], int, int]:
    """The annotations and containerConcurrency of `generate`, and MAX_IN_FLIGHT of `dispatch`."""
    objects = overlay(name)
    template = find(objects, "Service", "generate")["spec"]["template"]
    slots = settings_of(objects, container_of(objects, "dispatch")).max_in_flight
    return template["metadata"]["annotations"], template["spec"]["containerConcurrency"], slots


def _documented() -> dict[int, int]:
    """The table of knative/README.md, up to ten videos: queued or running -> replicas."""
    rows = re.findall(r"^\| (\d+)(?: (to|or) (\d+|more))? \| (\d) \|", _readme(), re.MULTILINE)
    return {
        videos: int(count)
        for first, _, last, count in rows
        for videos in range(int(first), (10 if last == "more" else int(last or first)) + 1)
    }


def _readme() -> str:
    return (KNATIVE / "README.md").read_text()


def _rendered_with(most: int, folder: Path) -> list[Manifest]:
    """The overlay h100-fleet with another number in fleet.yaml."""
    shutil.copytree(KNATIVE, folder / "knative")
    place = folder / "knative" / "overlays" / "h100-fleet"
    fleet = place / "fleet.yaml"
    changed, count = re.subn(r"MAX_REPLICAS: .*", f'MAX_REPLICAS: "{most}"', fleet.read_text())
    assert count == 1
    fleet.write_text(changed)
    return render(place)


def test_one_number_sets_the_size_of_a_fleet(tmp_path: Path) -> None:
    """Knative's max-scale, the consumer's max_ack_pending, and the quota follow MAX_REPLICAS."""
    objects = _rendered_with(97, tmp_path)
    template = find(objects, "Service", "generate")["spec"]["template"]
    assert template["metadata"]["annotations"][f"{PREFIX}max-scale"] == "97"
    (job,) = find(objects, "Job", "set-up")["spec"]["template"]["spec"]["containers"]
    assert turns_consumer(settings_of(objects, job)).max_ack_pending == 97
    assert settings_of(objects, container_of(objects, "dispatch")).max_in_flight == 97
    quota = find(objects, "ResourceQuota", "generate")["spec"]
    assert quota["hard"] == {"pods": "97"}
    (scope,) = quota["scopeSelector"]["matchExpressions"]
    assert scope["values"] == [template["spec"]["priorityClassName"]]
    # The file of the numbers itself is not applied.
    assert not [item for item in objects if item["metadata"]["name"] == "fleet"]


@pytest.mark.parametrize("videos", range(16))
def test_a_fleets_replicas_follow_the_videos_in_flight(videos: int) -> None:
    """As many replicas as videos, between MIN_REPLICAS and MAX_REPLICAS."""
    annotations, concurrency, slots = _generate("h100-fleet")
    assert replicas(min(videos, slots), annotations, concurrency) == min(max(videos, 2), 12)


@EACH_BOUNDED_OVERLAY
@pytest.mark.parametrize("videos", range(11))
def test_replicas_follow_the_videos_in_flight(name: str, videos: int) -> None:
    """Two replicas for 0 to 2 videos in flight, three for three, four for four or more."""
    annotations, concurrency, slots = _generate(name)
    # The autoscaler does not see requests that wait in the stream.
    wanted = replicas(min(videos, slots), annotations, concurrency)
    assert wanted == min(max(videos, 2), 4)
    assert _documented()[videos] == wanted


@EACH_OVERLAY
def test_one_video_more_than_replicas_starts_panic_mode(name: str) -> None:
    """Full replicas stay below the panic threshold; one more video exceeds it.

    In panic mode the autoscaler averages over 6 seconds instead of 60.
    """
    annotations, concurrency, _ = _generate(name)
    threshold = float(annotations[f"{PREFIX}panic-threshold-percentage"]) / 100
    for ready in (2, 3):
        assert math.ceil(ready / concurrency) / ready < threshold
        assert math.ceil((ready + 1) / concurrency) / ready >= threshold


def test_from_eleven_replicas_on_it_takes_more_than_one_video() -> None:
    """Knative accepts no threshold below 110 %: one video more than eleven is 109 %.

    It then starts the twelfth replica after its stable window, a minute.
    """
    annotations, _, _ = _generate("h100-fleet")
    threshold = float(annotations[f"{PREFIX}panic-threshold-percentage"]) / 100
    assert threshold <= (10 + 1) / 10
    assert threshold > (11 + 1) / 11


@EACH_OVERLAY
def test_requests_that_wait_for_a_replica_are_counted(name: str) -> None:
    """The activator stays in the path of every request, and knows which replica is free."""
    annotations, concurrency, _ = _generate(name)
    assert annotations[f"{PREFIX}target-burst-capacity"] == "-1"
    assert annotations[f"{PREFIX}metric"] == "concurrency"
    assert concurrency == 1


def test_the_default_utilization_would_start_a_third_replica_too_early() -> None:
    """With Knative's default of 70 %, two videos would ask for three replicas."""
    annotations, concurrency, _ = _generate("h100")
    default = {**annotations, f"{PREFIX}target-utilization-percentage": "70"}
    assert replicas(2, default, concurrency) == 3
