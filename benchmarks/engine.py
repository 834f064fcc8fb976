"""The engine's speed compared with stock diffusers, on one GPU (or, with --smoke, anywhere).

    python -m benchmarks.engine             # Mochi 1 at full size; needs a CUDA GPU with 80 GB
    python -m benchmarks.engine --smoke     # the same program with a tiny model, for CPUs

Needs only torch, diffusers and transformers. Weights are random: see `engine_model.py`.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from safetensors.torch import save_file

from benchmarks.engine_model import (
    FULL,
    SMOKE,
    TEXT_TOKENS,
    Size,
    build_text_encoder,
    build_transformer,
    build_vae,
    decoder_flops,
    latent_frames,
    transformer_flops,
)
from functions.generate.engine.model.attention import select_attention_kernel
from functions.generate.engine.model.compilation import compile_blocks
from functions.generate.engine.model.guidance import GuidanceBranches
from functions.generate.engine.model.loading import load_weights
from functions.generate.engine.model.memory import PeakMemory, is_out_of_memory
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.streaming_decode import StreamingDecoder
from functions.generate.engine.model.text_encoder import EncodedPrompt

STEPS: Final = 64  # Mochi's default
# Enough for a median; a step of a full-length video takes seconds.
REPEATS: Final = 3
GIB: Final = 1 << 30


@dataclass
class Bench:
    """The device, dtype and model size to measure with."""

    size: Size
    device: torch.device
    dtype: torch.dtype
    compiled: bool

    def seconds(self, work: Callable[[], object], repeats: int = REPEATS) -> float:
        """The median time of `work` in seconds, after one warm-up run."""
        times = []
        for _ in range(repeats + 1):
            self._finish()
            began = time.perf_counter()
            work()
            self._finish()
            times.append(time.perf_counter() - began)
        return statistics.median(times[1:])

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def free(self) -> None:
        """Release unused memory."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def matrix_peak(self) -> float:
        """FLOP/s of a large matrix product, the reference for all other speeds."""
        side = 8192 if self.device.type == "cuda" else 512
        a, b = (torch.randn(side, side, device=self.device, dtype=self.dtype) for _ in range(2))
        return 2.0 * side**3 / self.seconds(lambda: a @ b, repeats=20)

    def inputs(self, frames: int, branches: int) -> dict[str, Any]:
        """Arguments of the transformer, with `branches` in one batch as in the pipeline."""
        size = self.size
        shape = (branches, 12, latent_frames(frames), size.height // 8, size.width // 8)
        text = size.transformer.get("text_embed_dim", 4096)
        mask = torch.arange(TEXT_TOKENS, device=self.device) < size.prompt
        return {
            "hidden_states": torch.randn(shape, device=self.device, dtype=self.dtype),
            "encoder_hidden_states": torch.randn(
                branches, TEXT_TOKENS, text, device=self.device, dtype=self.dtype
            ),
            "timestep": torch.full((branches,), 500.0, device=self.device),
            "encoder_attention_mask": mask.expand(branches, -1),
            "return_dict": False,
        }


def measure_steps(bench: Bench, peak: float) -> dict[int, float]:
    """Print the transformer's table; returns our seconds per step and branch, by frames."""
    model = build_transformer(bench.size, bench.device, bench.dtype)
    found: dict[tuple[str, int, int], float] = {}

    def measure(name: str, transformer: Any) -> None:
        for frames in bench.size.frames:
            for branches in (2, 1):
                arguments = bench.inputs(frames, branches)
                run = partial(transformer, **arguments)
                found[name, frames, branches] = bench.seconds(run)

    measure("stock", model)
    kernel = select_attention_kernel(bench.device, bench.dtype)
    ours = GuidanceBranches(model, kernel, Ranks())
    if bench.compiled:
        compile_blocks(model)
    measure("ours", partial(_predict, ours))
    print(f"\nOne step of the transformer; our attention kernel: {kernel}, compiled: ", end="")
    print("yes" if bench.compiled else "no")
    print("| Frames | Who | s a step, B=2 | B=1 | TFLOP/s, B=1 | of the peak | stock / ours, B=1 |")
    print("|---|---|---|---|---|---|---|")
    for frames in bench.size.frames:
        flops = sum(transformer_flops(bench.size, model, frames))
        for name in ("stock", "ours"):
            both, one = found[name, frames, 2], found[name, frames, 1]
            faster = found["stock", frames, 1] / one
            print(
                f"| {frames} | {name} | {both:.3f} | {one:.3f} | {flops / one / 1e12:.3f} "
                f"| {flops / one / peak:.0%} | {faster:.2f} |"
            )
    return {frames: found["ours", frames, 1] for frames in bench.size.frames}


def _predict(branches: GuidanceBranches, **arguments: Any) -> list[torch.Tensor]:
    """Our prediction for the arguments of a stock transformer."""
    texts = zip(
        arguments["encoder_hidden_states"].split(1),
        arguments["encoder_attention_mask"].split(1),
        strict=True,
    )
    return branches.predict(
        arguments["hidden_states"][:1],
        arguments["timestep"][0],
        [EncodedPrompt(*text) for text in texts],
    )


def measure_decoding(bench: Bench) -> dict[int, float]:
    """Print the decoder's table; returns our seconds by frames."""
    memory = PeakMemory(bench.device)
    found: dict[int, float] = {}
    print("\nDecoding\n| Frames | Who | s | TFLOP/s | peak, GiB |\n|---|---|---|---|---|")
    for name in ("stock, tiled", "ours, streaming"):
        vae = build_vae(bench.size, bench.device, bench.dtype)
        vae.enable_tiling()
        streaming = StreamingDecoder(vae) if name.startswith("ours") else None
        for frames in bench.size.frames:
            size = bench.size
            latents = torch.randn(
                1, 12, latent_frames(frames), size.height // 8, size.width // 8, device=bench.device
            )

            def decode(
                latents: torch.Tensor = latents, vae: Any = vae, ours: Any = streaming
            ) -> None:
                if ours is None:
                    vae.decode(latents.to(bench.dtype)).sample.cpu()
                else:
                    for chunk in ours.decode(latents):
                        chunk.cpu()

            memory.reset()
            try:
                seconds = bench.seconds(decode, repeats=1)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                print(f"| {frames} | {name} | does not fit | | |")
                continue
            speed = decoder_flops(size, frames) / seconds / 1e12
            print(
                f"| {frames} | {name} | {seconds:.2f} | {speed:.3f} "
                f"| {(memory.peak_bytes() or 0) / GIB:.2f} |"
            )
            if streaming is not None:
                found[frames] = seconds
        del vae, streaming
        bench.free()
    return found


def measure_text_and_loading(bench: Bench, disk: Path) -> float:
    """Print the times of T5 and of loading; returns the seconds to encode one prompt."""
    model = build_text_encoder(bench.size, bench.device, bench.dtype)
    tokens = torch.ones(1, TEXT_TOKENS, dtype=torch.long, device=bench.device)
    text = bench.seconds(lambda: model(tokens))
    print(f"\nT5, one prompt of {TEXT_TOKENS} tokens: {text:.3f} s")
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        file = Path(folder) / "model.safetensors"
        weights = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
        save_file(weights, file)
        del weights
        began = time.perf_counter()
        load_weights(model, (file,), bench.device, bench.dtype)
        seconds, size = time.perf_counter() - began, file.stat().st_size
    print(
        f"T5's weights from a newly written file: {size / GIB:.2f} GiB in {seconds:.2f} s, "
        f"{size / GIB / seconds:.2f} GiB/s"
    )
    return text


def project(steps: dict[int, float], decoding: dict[int, float], text: float) -> None:
    """Print the projected time of a whole video on a replica with two GPUs, and its formula."""
    print(f"\nA whole video on two GPUs: 2 x T5 + {STEPS} x (a step at B=1) + decoding")
    print("| Frames | s |\n|---|---|")
    for frames, step in steps.items():
        if frames in decoding:
            print(f"| {frames} | {2 * text + STEPS * step + decoding[frames]:.1f} |")
    print(
        "Without the exchange of predictions between the GPUs (megabytes per step), and without "
        "the end of encoding the frames, most of which overlaps with decoding."
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="use a tiny model, also on CPUs")
    parser.add_argument("--no-compile", action="store_true", help="do not compile the blocks")
    parser.add_argument(
        "--disk", type=Path, default=Path(tempfile.gettempdir()), help="folder to load weights from"
    )
    arguments = parser.parse_args()
    if not arguments.smoke and not torch.cuda.is_available():
        parser.error("the full size needs a CUDA GPU; --smoke runs without one")
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message="In CPU autocast")
    on_gpu = torch.cuda.is_available()
    bench = Bench(
        SMOKE if arguments.smoke else FULL,
        torch.device("cuda" if on_gpu else "cpu"),
        torch.bfloat16 if on_gpu else torch.float32,
        compiled=on_gpu and not arguments.no_compile,
    )
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    print(f"{name}, torch {torch.__version__}, diffusers {diffusers.__version__}, {bench.dtype}")
    with torch.no_grad():
        peak = bench.matrix_peak()
        print(f"Measured matrix peak: {peak / 1e12:.3f} TFLOP/s")
        steps = measure_steps(bench, peak)
        bench.free()
        decoding = measure_decoding(bench)
        text = measure_text_and_loading(bench, arguments.disk)
    project(steps, decoding, text)


if __name__ == "__main__":
    main()
