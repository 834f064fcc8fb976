"""What a video costs NATS, `status` and the object store: the numbers of knative/sizing.md.

`python -m benchmarks.sizing` fills the streams of real NATS servers with events of the size of the
examples in `event-schemas/`, in two portions, and prints what each portion added: bytes on disk of
one server and of three with copies, resident memory, and the processor time of a replay. The growth
of the second portion is what a further video costs; the first includes what does not depend on
their number. Baselines in the same run: the bytes of the payloads themselves, and a bare ordered
consumer that reads the same messages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.feeds import consume
from functions.dispatch.sweeper import Sweeper
from functions.generate.engine.model.media import Mp4Writer
from functions.shared.storage import StoredObject
from functions.shared.streams.ledger import Ledger
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from functions.shared.video.profiles import load_profile
from functions.shared.video_objects import RECORD_FILE
from local.stack import ROOT
from tests.bulk import publish_all
from tests.fakes import MemoryBus, MemoryStore
from tests.harness import RunningStack

EXAMPLES: Final = ROOT / "event-schemas" / "examples"
# About the length that Mochi's authors recommend; the examples' prompts are shorter.
PROMPT: Final = (
    "A hand with delicate fingers picks up a bright yellow lemon from a wooden bowl. " * 5
)
# Of a completed video.
FILES: Final = ("video.mp4", "thumbnail.jpg", "spritesheet.jpg", RECORD_FILE)
# Slots that a dispatcher of a hundred replicas has.
SLOTS: Final = 100


def _example(name: EventName) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    data = event["data"]
    (data.get("request") or data)["prompt"] = PROMPT
    return event


def messages(first: int, videos: int, progressed: int) -> Iterator[tuple[str, bytes]]:
    """The subjects and payloads of every message of `videos` videos that complete."""
    templates = {name: _example(name) for name in EventName if (EXAMPLES / f"{name}.json").exists()}
    life = [EventName.REQUESTED, EventName.STARTED, *[EventName.PROGRESSED] * progressed]
    for number in range(first, first + videos):
        key = VideoKey("newsroom", f"video_{number:032x}")
        for name in (*life, EventName.COMPLETED):
            event = templates[name] | {"subject": key.video_id}
            requested = name is EventName.REQUESTED
            subject = key.request_subject if requested else key.event_subject(name)
            yield subject, json.dumps(event).encode()


def kept_bytes(videos: int) -> tuple[int, int]:
    """How many messages of `videos` videos the streams keep, and the bytes of their payloads."""
    kept = dict(messages(0, videos, 1))
    return len(kept), sum(map(len, kept.values()))


@dataclass(frozen=True)
class Usage:
    """What a process and its folder take."""

    disk: int
    memory: int
    cpu: float

    def of_each(self, before: Usage, videos: int) -> tuple[float, float, float]:
        """Bytes on disk, bytes of memory, and milliseconds, for each of `videos` more."""
        return (
            (self.disk - before.disk) / videos,
            (self.memory - before.memory) / videos,
            1000 * (self.cpu - before.cpu) / videos,
        )


def usage(pid: int, folder: Path | None = None) -> Usage:
    """What a process has used up to now."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder else []
    # Blocks and not lengths: what is deleted within a file is no longer on the disk.
    disk = sum(512 * path.stat().st_blocks for path in files)
    return Usage(disk, process.memory_info().rss, times.user + times.system)


def _row(name: str, *values: float) -> None:
    print(f"{name:<46}" + "".join(f" {value:>11,.2f}" for value in values), flush=True)


def measure_nats(folder: Path, videos: int, progressed: int, *, clustered: bool) -> None:
    """Print what a video costs each server, and who reads it, in two portions."""
    stack = RunningStack(folder, clustered=clustered)
    data = folder if clustered else stack.stack.data
    servers = {server.name: data / server.name for server in stack.nats_servers}
    empty = Usage(0, 0, 0)
    before = dict.fromkeys([*servers, "status"], empty)
    try:
        stack.start_servers()
        for portion in (1, 2):
            url = stack.nats_url.partition(",")[0]
            publish_all(url, messages((portion - 1) * videos, videos, progressed))
            used = {n: usage(stack.running[n].pid, path) for n, path in servers.items()}
            if not clustered:
                stack.start("status")
                used["status"] = usage(stack.worker_pid("status"))
                stack.kill("status")
            for name, now in used.items():
                label = f"{name}{' of three' if clustered else ''}, portion {portion}"
                _row(label, *now.of_each(before[name], videos))
            before = used
        if not clustered:
            _measure_baseline(stack, 2 * videos)
    finally:
        stack.close()


def _measure_baseline(stack: RunningStack, videos: int) -> None:
    """Print what a bare consumer needs to read everything, and NATS for it."""
    kept, size = kept_bytes(videos)
    before, begun = usage(stack.running["nats"].pid), time.process_time()
    asyncio.run(consume(stack.nats_url, kept))
    bare = 1000 * (time.process_time() - begun) / videos
    _row("payload, and a bare consumer of it (baseline)", size / videos, 0, bare)
    _row("nats, for that consumer", *usage(stack.running["nats"].pid).of_each(before, videos))


def measure_dispatch(folder: Path) -> None:
    """Print the memory of a dispatcher with many slots."""
    for slots in (4, SLOTS):
        stack = RunningStack(folder / str(slots), {"MAX_IN_FLIGHT": str(slots)})
        try:
            stack.start_servers()
            stack.start("dispatch")
            memory = usage(stack.worker_pid("dispatch")).memory / 2**20
            print(f"dispatch with {slots} slots: {memory:.0f} MiB", flush=True)
        finally:
            stack.close()


class FullBucket(MemoryStore):
    """A store with the files of `videos` videos, which it lists without keeping them."""

    def __init__(self, videos: int) -> None:
        """List three files for each video."""
        super().__init__()
        self._videos = videos

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """All files, as the real store would list them."""
        for number in range(self._videos):
            for file in FILES:
                key = f"{prefix}newsroom/video_{number:032x}/1-{number:032x}/{file}"
                yield StoredObject(key, 0, 1 << 20)


class FullStreams(MemoryBus):
    """Streams with the subjects of `videos` videos, which have no messages."""

    def __init__(self, videos: int) -> None:
        """List four subjects for each video."""
        super().__init__()
        self._subjects = list(dict(messages(0, videos, 1)))

    def list_subjects(self, stream: str, subject: str) -> list[str]:  # noqa: ARG002 - the bus's
        """All subjects of the stream, as copies, which the real one would be."""
        start = subject.partition("*")[0]
        return [f"{name} "[:-1] for name in self._subjects if name.startswith(start)]


def measure_sweeper(videos: int) -> None:
    """Print what the sweeper of a dispatcher keeps in memory at most."""
    bus, bucket = FullStreams(videos), FullBucket(videos)
    sweeper = Sweeper(
        bus, Ledger(bus, takeover_grace=0), load_profile("mochi-1"), bucket, max_age_days=30
    )
    tracemalloc.start()
    sweeper.sweep()
    _row("dispatch, while it sweeps", 0, tracemalloc.get_traced_memory()[1] / videos, 0)
    tracemalloc.stop()


def measure_files(folder: Path) -> None:
    """Print the bytes of a video at Mochi's default size: of a calm, and of a restless scene.

    The scene is a cloud of 1/f noise that drifts, without grain and with some.
    """
    mochi = load_profile("mochi-1")
    width, height, frames = mochi.width.default, mochi.height.default, mochi.num_frames.default
    rng = np.random.default_rng(0)
    scale = np.hypot(*np.meshgrid(np.fft.fftfreq(2 * width), np.fft.fftfreq(height)))
    scale[0, 0] = np.inf
    noise = np.fft.fft2(rng.standard_normal((height, 2 * width, 3)), axes=(0, 1))
    cloud = np.fft.ifft2(noise / scale[..., None], axes=(0, 1)).real
    cloud = 127 + 50 * cloud / cloud.std()
    for name, grain in (("calm", 0.0), ("restless", 6.0)):
        path = folder / f"{name}.mp4"
        with Mp4Writer(path, width=width, height=height, fps=mochi.fps.default, tags={}) as video:
            for number in range(frames):
                frame = cloud[:, 2 * number : 2 * number + width]
                frame = frame + grain * rng.standard_normal(frame.shape)
                video.add_frame(frame.clip(0, 255).astype(np.uint8))
        print(f"a {name} video of {frames} frames: {path.stat().st_size:,} bytes", flush=True)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=2_000, help="videos of each portion")
    parser.add_argument(
        "--progressed", type=int, default=36, help="events of progress: of three minutes, 36"
    )
    options = parser.parse_args()
    kept, size = kept_bytes(100)
    print(f"kept for each video: {kept / 100:g} messages, {size / 100:,.0f} bytes of payload")
    print(f"{'for each video':<46} {'disk bytes':>11} {'memory':>11} {'CPU ms':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for name, videos in (("one", options.videos), ("three", options.videos // 4)):
            place = Path(folder) / name
            measure_nats(place, videos, options.progressed, clustered=name == "three")
        measure_dispatch(Path(folder))
        measure_sweeper(10 * options.videos)
        measure_files(Path(folder))


if __name__ == "__main__":
    main()
