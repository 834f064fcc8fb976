"""What Knative's autoscaler makes of the manifests, computed as it computes it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import pytest

from functions.shared.config import Settings
from tests.manifests import (
    KNATIVE,
    OVERLAYS,
    container_of,
    environment,
    find,
    overlay,
)

PREFIX = "autoscaling.knative.dev/"


def replicas(in_flight: int, annotations: Mapping[str, str], concurrency: int) -> int:
    """Replicas that are asked for when so many requests are open for longer than the window.

    Knative Serving, pkg/autoscaler/scaling/autoscaler.go and pkg/reconciler/autoscaling/kpa: the
    load is divided by the target, which is containerConcurrency by the target utilization, rounded
    up, and kept between min-scale and max-scale. What waits in the activator counts.
    """
    utilization = float(annotations[f"{PREFIX}target-utilization-percentage"]) / 100
    wanted = math.ceil(in_flight / (concurrency * utilization))
    least, most = (int(annotations[f"{PREFIX}{end}-scale"]) for end in ("min", "max"))
    return min(max(wanted, least), most)


def _generate(name: str) -> tuple[dict[str, str], int, int]:
    objects = overlay(name)
    template = find(objects, "Service", "generate")["spec"]["template"]
    variables = environment(objects, container_of(objects, "dispatch"))
    slots = Settings.model_validate({"max_in_flight": variables["MAX_IN_FLIGHT"]}).max_in_flight
    return template["metadata"]["annotations"], template["spec"]["containerConcurrency"], slots


def _documented() -> dict[int, int]:
    """The table of knative/README.md: videos in flight -> replicas."""
    rows = re.findall(r"^\| (\d+)(?: to (\d+))? \| (\d) \|", _readme(), re.MULTILINE)
    return {
        videos: int(count)
        for first, last, count in rows
        for videos in range(int(first), int(last or first) + 1)
    }


def _readme() -> str:
    return (KNATIVE / "README.md").read_text()


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("videos", range(11))
def test_videos_in_flight_make_replicas(name: str, videos: int) -> None:
    """Two replicas for up to two videos, one each for three and four, and never more than four."""
    annotations, concurrency, slots = _generate(name)
    # What `dispatch` does not keep open waits in the stream, where the autoscaler does not see it.
    made = replicas(min(videos, slots), annotations, concurrency)
    assert made == min(max(videos, 2), 4)
    assert _documented()[videos] == made


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_third_video_is_a_reason_to_hurry(name: str) -> None:
    """One more than the replicas can take is over the panic threshold, and what they take is not.

    In panic the autoscaler looks at 6 seconds in place of 60.
    """
    annotations, concurrency, _ = _generate(name)
    threshold = float(annotations[f"{PREFIX}panic-threshold-percentage"]) / 100
    for ready in (2, 3):
        assert math.ceil(ready / concurrency) / ready < threshold
        assert math.ceil((ready + 1) / concurrency) / ready >= threshold


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_waits_for_a_replica_is_seen(name: str) -> None:
    """The activator stays in the path of every request, and knows which replica is free."""
    annotations, concurrency, _ = _generate(name)
    assert annotations[f"{PREFIX}target-burst-capacity"] == "-1"
    assert annotations[f"{PREFIX}metric"] == "concurrency"
    assert concurrency == 1


def test_the_default_utilization_would_start_a_third_replica_too_early() -> None:
    """The reason for the annotation: with Knative's 70 %, two videos ask for three replicas."""
    annotations, concurrency, _ = _generate("h100")
    default = {**annotations, f"{PREFIX}target-utilization-percentage": "70"}
    assert replicas(2, default, concurrency) == 3
