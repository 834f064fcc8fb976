"""Two processes that join as ranks, started by a test, and the work that each of them does."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.shared.errors import RenderCancelled
from functions.shared.video.requests import ResolvedRequest
from tests.demo_engine import DEMO


def run(work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(rank, *arguments)` in two processes, and wait until both have succeeded."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_run, args=(work, rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0


def _run(work: Callable[..., None], rank: int, *arguments: Any) -> None:
    import torch.distributed  # noqa: PLC0415 - not every test process needs it

    work(rank, *arguments)
    # Threads of the group that still run when the interpreter exits may abort the process.
    torch.distributed.destroy_process_group()


def save_latents(
    rank: int, requests: list[ResolvedRequest], dtypes: list[str], folder: Path
) -> None:
    """Save the latents that this rank gets for `requests`, in each of `dtypes`."""
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    ranks = Ranks.join(rank, 2, folder)
    for dtype in dtypes:
        latents = [one.numpy() for one in compute_latents(requests, dtype, ranks)]
        torch.save(latents, folder / f"{dtype}-{rank}.pt")


def compute_latents(requests: list[ResolvedRequest], dtype: str, ranks: Any) -> list[Any]:
    """The latents of `requests`, computed by `ranks` in `dtype`."""
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.mochi import Mochi  # noqa: PLC0415 - the same

    model = Mochi(locate_checkpoint(str(DEMO)), ranks, dtype=getattr(torch, dtype))
    with torch.no_grad():
        return [model.denoise(request, model.encode_text(request)) for request in requests]


def save_outcomes(rank: int, failures: list[tuple[int, str]], folder: Path) -> None:
    """Let the given rank fail in each gather, and save the error that this rank gets from it."""
    import torch  # noqa: PLC0415 - not every test process needs it

    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415 - the same

    ranks = Ranks.join(rank, 2, folder)
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
