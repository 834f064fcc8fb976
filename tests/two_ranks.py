"""Two processes that work together, started by a test: what each of them does."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.generate.engine.model import checkpoint
from functions.shared.errors import RenderCancelled
from functions.shared.video.requests import ResolvedRequest
from local.stack import DEFAULT_MODEL, ROOT

DEMO = ROOT / DEFAULT_MODEL


def run(work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(rank, *arguments)` in two processes, and wait until both have ended well."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_run, args=(work, rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0


def _run(work: Callable[..., None], rank: int, *arguments: Any) -> None:
    import torch.distributed  # noqa: PLC0415 - the test process need not have it

    work(rank, *arguments)
    # Threads of the group that are still there when the interpreter ends may abort the process.
    torch.distributed.destroy_process_group()


def latents(rank: int, requests: list[ResolvedRequest], dtypes: list[str], folder: Path) -> None:
    """Save what every rank has as the latents of `requests`, in each of `dtypes`."""
    import torch  # noqa: PLC0415 - the test process need not have it

    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    ranks = Ranks.join(rank, 2, folder)
    for dtype in dtypes:
        result = [made.numpy() for made in latents_of(requests, dtype, ranks)]
        torch.save(result, folder / f"{dtype}-{rank}.pt")


def latents_of(requests: list[ResolvedRequest], dtype: str, ranks: Any) -> list[Any]:
    """The latents of `requests`, made by `ranks` in `dtype`."""
    import torch  # noqa: PLC0415 - the test process need not have it

    from functions.generate.engine.model.rendering import Renderer  # noqa: PLC0415 - the same

    renderer = Renderer(checkpoint.locate(str(DEMO)), ranks, dtype=getattr(torch, dtype))

    def make(request: ResolvedRequest) -> Any:
        text = renderer._encode(request, lambda *_: None)
        return renderer._denoise(request, text, lambda *_: None)

    with torch.no_grad():
        return [make(request) for request in requests]


def fates(rank: int, errors: list[tuple[int, str]], folder: Path) -> None:
    """Let one rank after the other fail in its part, and save what every rank heard of it."""
    import torch  # noqa: PLC0415 - the test process need not have it

    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415 - the same

    ranks = Ranks.join(rank, 2, folder)
    kinds: dict[str, Exception] = {
        "memory": torch.OutOfMemoryError("CUDA out of memory"),
        "cancelled": RenderCancelled(),
        "other": ValueError("no such thing"),
    }
    heard: list[str] = []
    for failing, kind in errors:

        def compute(part: int, failing: int = failing, kind: str = kind) -> torch.Tensor:
            if part == failing:
                raise kinds[kind]
            return torch.full((2,), part)

        try:
            ranks.spread(compute, 2)
        except Exception as error:  # noqa: BLE001 - which one it is, is the test
            heard.append(type(error).__name__)
    heard.append(str([part.tolist() for part in ranks.spread(lambda n: torch.full((2,), n), 2)]))
    (folder / f"heard-{rank}").write_text("\n".join(heard))
