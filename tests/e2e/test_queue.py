"""Several videos at once, and workers that are killed."""

from __future__ import annotations

import os
import signal

from tests.e2e.client import TINY, Client
from tests.engines import STEPS, Engines
from tests.harness import RunningStack
from tests.patience import wait_until

# Takes much longer than the time limit of the next video.
LONGEST = {"size": "160x96", "num_frames": 61, "num_inference_steps": 200}


def test_two_replicas_render_two_videos_while_others_are_queued(
    client: Client, engines: Engines
) -> None:
    """Queued videos show their position, and run when a replica is free."""
    engines.hold()
    first, second = (client.create(**TINY)["id"] for _ in range(2))
    for video_id in (first, second):
        client.wait(video_id, "in_progress")
    third, fourth = (client.create(**TINY)["id"] for _ in range(2))
    waiting = client.get(third)
    assert (waiting["status"], waiting["queue_position"]) == ("queued", 1)
    assert client.get(fourth)["queue_position"] == 2
    running = [client.get(video_id) for video_id in (first, second)]
    assert [video["status"] for video in running] == ["in_progress"] * 2
    engines.resume()
    for video_id in (first, second, third, fourth):
        video = client.wait(video_id, "completed")
        assert (video["attempt"], video["queue_position"]) == (1, None)
        # The frames depend on it: each replica has its share of the cores.
        assert video["engine"]["threads"] == max(1, (os.cpu_count() or 1) // 2)


def test_progress_never_decreases(client: Client, engines: Engines) -> None:
    """It counts finished steps, shows values between 0 and 100, and ends at 100."""
    engines.hold()
    video_id = client.create(**STEPS)["id"]
    engines.hold_mid_video(engines.rendering(video_id))
    seen: list[int] = []

    def some_steps() -> bool:
        seen.append(client.get(video_id)["progress"])
        return seen[-1] > 0

    def completed() -> bool:
        video = client.get(video_id)
        seen.append(video["progress"])
        return bool(video["status"] == "completed")

    wait_until(some_steps, seconds=10, what="some steps")
    engines.resume()
    wait_until(completed, seconds=60, what="completed")
    assert seen == sorted(seen)
    assert seen[-1] == 100
    assert any(0 < percent < 100 for percent in seen), "no progress before the end"


def test_a_cancelled_video_stops_and_frees_its_worker(client: Client) -> None:
    """The next video runs long before the cancelled ones would have completed."""
    cancelled = [client.create(**LONGEST)["id"] for _ in range(2)]
    for video_id in cancelled:
        client.wait(video_id, "in_progress")
        client.cancel(video_id)
    video = client.create(**TINY)
    client.wait(video["id"], "completed", seconds=10)
    for video_id in cancelled:
        assert client.get(video_id)["error"]["code"] == "cancelled"


def test_a_video_is_completed_once_after_its_worker_is_killed(
    kinora: RunningStack, client: Client, engines: Engines
) -> None:
    """SIGKILL mid-video of the worker alone: attempt 2 completes it."""
    engines.hold()
    video_id = client.create(**STEPS)["id"]
    victim = engines.rendering(video_id)
    engines.resume(victim)
    engines.hold_mid_video(victim)
    wait_until(lambda: 0 < client.get(video_id)["progress"] < 100, seconds=10, what="some steps")
    # gunicorn starts another worker, as Kubernetes would restart a container.
    os.kill(kinora.worker_pid(victim), signal.SIGKILL)
    engines.resume()  # a stopped engine can't exit when its parent does
    video = client.wait(video_id, "completed", seconds=90)
    assert video["attempt"] == 2
    assert client.frames(video_id).shape == (25, 64, 96, 3)
    logs = kinora.log("generate-1") + kinora.log("generate-2")
    assert logs.count(f"{video_id}: attempt 2 ended: completed") == 1
    kinora.wait_ready(victim)
