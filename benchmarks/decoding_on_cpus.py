"""Decoding on a CPU: ours beside stock diffusers', both memory formats, and where the time goes.

    python -m benchmarks.decoding_on_cpus

Prints Markdown tables of processor time, which counts all threads and what the kernel does for
them. Decoders run in turns; a ratio is the median of those of each turn. All of them end with the
engine's check for finite values and its conversion to bytes, which diffusers leaves to the caller.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the engine; read when torch is imported

import torch
from diffusers import AutoencoderKLMochi
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.engine_bench import Bench
from benchmarks.engine_model import build_vae
from functions.generate.engine.model.finite import require_finite
from functions.generate.engine.model.streaming_decode import (
    StreamingDecoder,
    to_rgb_bytes,
)
from functions.shared.video.progress import Stage
from local.stack import DEFAULT_MODEL, ROOT

Decode = Callable[[Tensor], object]
# The demo's default size, and one of eight times as many pixels.
SIZES: Final = ("96x64", "256x192")
# Between the demo's and Mochi's 128 to 768.
WIDER: Final = {"decoder_block_out_channels": (32, 64, 128, 192)}
# In torch's profile. The first is im2col and a matrix product, the second oneDNN's.
OPERATORS: Final = {
    "im2col": ("aten::slow_conv3d_forward",),
    "oneDNN": ("aten::mkldnn_convolution",),
    "copies": ("aten::copy_", "aten::cat", "aten::replication_pad3d", "aten::clone"),
}
# Of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=range(1, 10), metavar="FRAMES")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WIDTHxHEIGHT")
    options = parser.parse_args()
    Bench.open(smoke=True)  # without gradients and warnings
    inputs = [(size, length) for size in options.sizes for length in options.lengths]
    print("Freed memory is returned to the system, as usual:")
    compare(inputs, options.turns)
    keep_freed_memory()
    print("\nFreed memory is kept by the process:")
    compare(inputs, options.turns)
    print("\nMilliseconds by operator, elapsed, the least of several runs, one thread:")
    show_operators(inputs, options.turns)
    print("\nMemory formats, two latent frames, one thread:")
    compare_formats(options.sizes, options.turns)


def compare(inputs: Sequence[tuple[str, int]], turns: int) -> None:
    """Ours beside stock, with one thread and with two."""
    print("| Threads | Size | Latent frames | Stock, ms | Ours by stock |\n|---|---|---|---|---|")
    vae = demo_vae(torch.float32)
    decoders: dict[str, Decode] = {"stock": partial(decode_stock, vae), "ours": ours(vae)}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for size, length in inputs:
            seconds = take_turns(decoders, draw(size, length), turns)
            times = f"{statistics.median(seconds['stock']) * 1e3:.1f} | {by(seconds, 'ours')}"
            print(f"| {threads} | {size} | {length} | {times} |", flush=True)
    torch.set_num_threads(1)


def show_operators(inputs: Sequence[tuple[str, int]], runs: int) -> None:
    """What takes the time of one decode."""
    print(f"| Size | Latent frames | Decoder | {' | '.join(OPERATORS)} | others |")
    print("|---|---|---|---|---|---|---|")
    vae = demo_vae(torch.float32)
    decoders: dict[str, Decode] = {"stock": partial(decode_stock, vae), "ours": ours(vae)}
    for size, length in inputs:
        for name, decode in decoders.items():
            found = operators(decode, draw(size, length), runs)
            spent = " | ".join(f"{milliseconds:.1f}" for milliseconds in found)
            print(f"| {size} | {length} | {name} | {spent} |", flush=True)


def compare_formats(sizes: Sequence[str], turns: int) -> None:
    """Ours with channels last, beside torch's usual format."""
    print("| Decoder | Type | Size | Usual, ms | Channels last by usual |\n|---|---|---|---|---|")
    bench = Bench.open(smoke=True)
    wide = replace(bench.size, vae={**bench.size.vae, **WIDER})
    for dtype in (torch.float32, torch.bfloat16):
        vaes = {"demo": demo_vae(dtype), "wider": build_vae(wide, bench.device, dtype)}
        for name, vae in vaes.items():
            decoders = {
                "usual": ours(vae),
                "channels last": ours(vae, torch.channels_last_3d),
            }
            for size in sizes if name == "demo" else sizes[:1]:
                seconds = take_turns(decoders, draw(size, 2), turns)
                usual = statistics.median(seconds["usual"]) * 1e3
                row = f"{name} | {str(dtype).removeprefix('torch.')} | {size}"
                print(f"| {row} | {usual:.1f} | {by(seconds, 'channels last')} |", flush=True)


def demo_vae(dtype: torch.dtype) -> Any:
    """The VAE of the demo checkpoint."""
    vae: Any = AutoencoderKLMochi.from_pretrained(ROOT / DEFAULT_MODEL / "vae", dtype=dtype)
    return vae.eval()


def ours(vae: Any, memory_format: torch.memory_format = torch.contiguous_format) -> Decode:
    """The engine's decoder, of a copy of `vae`."""
    decoder = StreamingDecoder(copy.deepcopy(vae))
    decoder.use_format(memory_format)
    return lambda latents: torch.cat(list(decoder.decode(latents)))


def decode_stock(vae: Any, latents: Tensor) -> Tensor:
    """All at once, by diffusers, to bytes."""
    video: Tensor = vae.decode(latents.to(vae.dtype)).sample
    require_finite(Stage.DECODING, video)
    return to_rgb_bytes(video[0])


def draw(size: str, length: int) -> Tensor:
    """Random latents of `length` latent frames, always the same."""
    width, height = map(int, size.split("x"))
    shape = (1, 12, length, height // 8, width // 8)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def take_turns(
    decoders: Mapping[str, Decode], latents: Tensor, turns: int
) -> dict[str, list[float]]:
    """Seconds of processor time of each turn, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for turn in range(turns + 1):
        for name, decode in decoders.items():
            began = time.process_time()
            decode(latents)
            if turn:
                seconds[name].append(time.process_time() - began)
    return seconds


def by(seconds: Mapping[str, Sequence[float]], name: str) -> str:
    """The median of the ratios of `name` to the first one, and the range of the middle half."""
    base = next(iter(seconds.values()))
    ratios = [one / other for one, other in zip(seconds[name], base, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def operators(decode: Decode, latents: Tensor, runs: int) -> list[float]:
    """Milliseconds in each group of `OPERATORS` and in all others: each the least of the runs.

    torch's profiler knows elapsed times only, and other work on the machine makes these longer.
    """
    found = []
    for _ in range(runs):
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            decode(latents)
        spent = {one.key: one.self_cpu_time_total / 1e3 for one in profiled.key_averages()}
        known = [sum(spent.pop(name, 0.0) for name in names) for names in OPERATORS.values()]
        found.append([*known, sum(spent.values())])
    return [min(group) for group in zip(*found, strict=True)]


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next allocation: no page is given back or faulted in."""
    libc = ctypes.CDLL(None)
    assert libc.mallopt(M_MMAP_MAX, 0) == 1
    assert libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1) == 1


if __name__ == "__main__":
    main()
