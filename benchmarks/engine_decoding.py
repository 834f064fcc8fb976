"""Decoding: ours, and stock diffusers'. Parts of `engine.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.engine_bench import Bench, require_finite
from benchmarks.engine_model import build_vae, decoder_flops
from benchmarks.supervised_parts import Emit
from functions.generate.engine.model.memory import PeakMemory
from functions.generate.engine.model.streaming_decode import StreamingDecoder

GIB: Final = 1 << 30


def measure_ours(emit: Emit, *, smoke: bool, frames: Sequence[int], channels_last: bool) -> None:
    """Our decoder, with its weights in torch's usual memory format or with channels last."""
    bench = Bench.open(smoke=smoke)
    vae = build_vae(bench.size, bench.device, bench.dtype)
    decoder = StreamingDecoder(vae)
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    decoder.use_format(layout)
    name = str(layout).removeprefix("torch.")
    _measure(bench, partial(emit, who="ours", format=name), partial(_stream, decoder), frames)
    del vae, decoder
    bench.free()


def measure_stock(emit: Emit, *, smoke: bool, frames: Sequence[int], tiled: bool) -> None:
    """The decoder of diffusers, whole (114 GiB for 163 frames at full size) or in tiles."""
    bench = Bench.open(smoke=smoke)
    vae = build_vae(bench.size, bench.device, bench.dtype)
    if tiled:
        vae.enable_tiling()
    _measure(bench, partial(emit, who="stock", tiled=tiled), partial(_decode, vae), frames)
    del vae
    bench.free()


def _measure(
    bench: Bench, emit: Emit, decode: Callable[[Tensor], Tensor], frames: Sequence[int]
) -> None:
    memory = PeakMemory(bench.device)
    for length in frames:
        latents = bench.latents(length)
        memory.reset()
        times = bench.time(partial(decode, latents), repeats=1)
        peak = memory.peak_bytes() or 0
        emit(
            figure="decoding",
            frames=length,
            seconds=times.median,
            tflops=decoder_flops(bench.size, length) / times.median / 1e12,
            peak_gib=peak / GIB,
            deviation=require_finite(times.result),
        )


def _stream(decoder: StreamingDecoder, latents: Tensor) -> Tensor:
    return torch.cat([chunk.cpu() for chunk in decoder.decode(latents)])


def _decode(vae: Any, latents: Tensor) -> Tensor:
    video: Tensor = vae.decode(latents.to(vae.dtype)).sample.cpu()
    return video
