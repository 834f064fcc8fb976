"""Two processes that join as ranks, started by a test, and the work that each of them does."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.generate.engine.messages import PreviewLimits, Shape
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.shared.errors import RenderCancelled
from functions.shared.video.profiles import SigmaSchedule, load_profile
from functions.shared.video.requests import ResolvedRequest
from tests.demo_engine import DEMO
from tests.forked_engines import context
from tests.patience import wait_until


def run(work: Callable[..., None], *arguments: Any, ranks: int = 2) -> None:
    """Call `work(rank, ranks, *arguments)` in `ranks` processes; wait until all have succeeded."""
    processes = [
        context().Process(target=_run, args=(work, rank, ranks, *arguments))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    try:
        wait_until(
            lambda: all(process.exitcode is not None for process in processes),
            seconds=120,
            what="the ranks have finished",
        )
    finally:
        for process in processes:
            process.kill()
    assert [process.exitcode for process in processes] == [0] * ranks


def _run(work: Callable[..., None], rank: int, ranks: int, *arguments: Any) -> None:
    import torch.distributed  # noqa: PLC0415 - not every test process needs it

    work(rank, ranks, *arguments)
    if ranks > 1:
        # Threads of the group that still run when the interpreter exits may abort the process.
        torch.distributed.destroy_process_group()


def save_latents(
    rank: int, size: int, requests: list[ResolvedRequest], dtypes: list[str], folder: Path
) -> None:
    """Save the latents that this rank gets for `requests`, in each of `dtypes`."""
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    ranks = Ranks.join(rank, size, folder)
    for dtype in dtypes:
        latents = [one.numpy() for one in compute_latents(requests, dtype, ranks)]
        torch.save(latents, folder / f"{dtype}-{rank}.pt")


def compute_latents(requests: list[ResolvedRequest], dtype: str, ranks: Any) -> list[Any]:
    """The latents of `requests`, computed by `ranks` in `dtype`."""
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.mochi import Mochi  # noqa: PLC0415 - the same

    checkpoint, torch_dtype = locate_checkpoint(str(DEMO)), getattr(torch, dtype)
    fast = load_profile("demo").fast
    model = Mochi(checkpoint, ranks, SigmaSchedule(), fast=fast, dtype=torch_dtype)
    with torch.no_grad():
        return [model.denoise(request, model.encode_text(request)) for request in requests]


def save_outcomes(rank: int, size: int, failures: list[tuple[int, str]], folder: Path) -> None:
    """Let the given rank fail in each gather, and save the error that this rank gets from it."""
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415 - the same

    ranks = Ranks.join(rank, size, folder)
    errors: dict[str, Exception] = {
        "memory": torch.OutOfMemoryError("CUDA out of memory"),
        "cancelled": RenderCancelled(),
        "other": ValueError("no such thing"),
    }
    outcomes: list[str] = []
    for failing_rank, kind in failures:

        def compute(part: int, failing_rank: int = failing_rank, kind: str = kind) -> torch.Tensor:
            if part == failing_rank:
                raise errors[kind]
            return torch.full((2,), part)

        try:
            ranks.all_gather(compute, 2)
        except Exception as error:  # noqa: BLE001 - the test checks which one it is
            outcomes.append(type(error).__name__)
    gathered = ranks.all_gather(lambda part: torch.full((2,), part), 2)
    outcomes.append(str([part.tolist() for part in gathered]))
    (folder / f"outcomes-{rank}").write_text("\n".join(outcomes))


def save_kernels(rank: int, size: int, forced: list[str | None], folder: Path) -> None:
    """Save which attention kernel this rank gets if it is told to use `forced[rank]`."""
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.attention_kernels import AttentionKernel  # noqa: PLC0415
    from functions.generate.engine.model.attention_probe import Attention  # noqa: PLC0415
    from functions.generate.engine.model.kernel_choice import choose_kernel  # noqa: PLC0415
    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415

    attention = Attention(2, 16, 64, torch.device("cpu"), torch.float32)
    own = forced[rank]
    try:
        ranks = Ranks.join(rank, size, folder)
        chosen = choose_kernel(attention, ranks, AttentionKernel(own) if own else None)
        outcome = f"{chosen.kernel} {chosen.milliseconds is not None}"
    except Exception as error:  # noqa: BLE001 - the test checks which one it is
        outcome = f"{type(error).__name__}: {error}"
    (folder / f"kernel-{rank}").write_text(outcome)


def save_formats(rank: int, size: int, forced: list[str | None], folder: Path) -> None:
    """Save the memory format of this rank's decoder if it is told to use `forced[rank]`.

    `faulty` is the format with channels last where its frames are wrong.
    """
    import torch  # noqa: PLC0415 - not every test process needs it
    from diffusers import AutoencoderKLMochi  # noqa: PLC0415 - the same

    from functions.generate.engine.model import decoder_format  # noqa: PLC0415 - the same
    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415 - the same
    from functions.generate.engine.model.streaming_decode import StreamingDecoder  # noqa: PLC0415

    torch.set_num_threads(1)
    vae: Any = AutoencoderKLMochi.from_pretrained(DEMO / "vae")
    latents = decoder_format.draw_latents(vae, [], torch.device("cpu"))
    own = forced[rank]
    if own == "faulty":
        own = "channels_last_3d"
        decoder_format.TOLERANCES[torch.float32] = -1
    try:
        ranks = Ranks.join(rank, size, folder)
        wanted = decoder_format.DecoderFormat(own) if own else None
        found = decoder_format.choose_format(StreamingDecoder(vae), latents, ranks, wanted).format
        weight = vae.decoder.block_in.resnets[0].conv1.conv.weight
        assert weight.is_contiguous(memory_format=found.of_torch)
        outcome = found.value
    except Exception as error:  # noqa: BLE001 - the test checks which one it is
        outcome = f"{type(error).__name__}: {error}"
    (folder / f"format-{rank}").write_text(outcome)


def save_graph_counts(rank: int, size: int, requests: list[ResolvedRequest], folder: Path) -> None:
    """Save how many graphs this rank compiles in the warm-up, and then with all of `requests`.

    Each of these has a preview.
    """
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.compilation import compile_blocks  # noqa: PLC0415
    from functions.generate.engine.model.mochi import Mochi  # noqa: PLC0415
    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415
    from functions.generate.engine.model.rendering import Renderer  # noqa: PLC0415
    from functions.generate.engine.model.warmup import warm_up  # noqa: PLC0415

    torch.set_num_threads(1)
    graphs = 0

    def count(graph: Any, _: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    ranks = Ranks.join(rank, size, folder)
    fast = load_profile("demo").fast
    model = Mochi(locate_checkpoint(str(DEMO)), ranks, SigmaSchedule(), fast=fast)
    compile_blocks(model.components.transformer, backend=count)
    renderer = Renderer(model, PreviewLimits(seconds=1e-9, share=math.inf))
    warm_up(renderer, [Shape(64, 48, 13)], folder)
    warm = graphs
    with torch.no_grad():
        for request in requests:
            _denoise_with_previews(renderer, request)
    (folder / f"graphs-{rank}").write_text(f"{warm} {graphs}")


def _denoise_with_previews(renderer: Any, request: ResolvedRequest) -> None:
    model, steps = renderer.model, request.num_inference_steps
    previews, made = renderer.previewer.of_video(), []

    def preview(done: int, estimate: Callable[[], Any]) -> None:
        made.append(previews.after_step(done, steps, estimate))

    model.denoise(request, model.encode_text(request), preview)
    assert any(made)
