"""T5, and loading weights. A part of `engine.py`."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

from benchmarks.engine_bench import Bench, require_finite
from benchmarks.engine_model import TEXT_TOKENS, build_text_encoder
from benchmarks.supervised_parts import Emit
from functions.generate.engine.model.loading import load_weights

GIB: Final = 1 << 30


def measure_text(emit: Emit, *, smoke: bool, disk: str) -> None:
    """One prompt through T5, and reading T5's weights from a newly written file below `disk`."""
    bench = Bench.open(smoke=smoke)
    model = build_text_encoder(bench.size, bench.device, bench.dtype)
    tokens = torch.ones(1, TEXT_TOKENS, dtype=torch.long, device=bench.device)
    times = bench.time(partial(model, tokens))
    emit(
        figure="text",
        tokens=TEXT_TOKENS,
        seconds=times.median,
        deviation=require_finite(times.result[0]),
    )
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: one.cpu().clone() for name, one in model.state_dict().items()}, file)
        began = time.perf_counter()
        load_weights(model, (file,), bench.device, bench.dtype)
        seconds, gib = time.perf_counter() - began, file.stat().st_size / GIB
    emit(figure="loading", seconds=seconds, gib=gib, gib_per_second=gib / seconds)
    del model
    bench.free()
