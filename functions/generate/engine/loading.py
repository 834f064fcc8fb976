"""Load a checkpoint: the only way, for Mochi 1 and for the demo."""

# diffusers is annotated in part.
# mypy: allow-untyped-calls

from __future__ import annotations

import threading
import warnings
from typing import Any

import diffusers
import torch
import transformers
from diffusers import MochiPipeline
from tqdm import tqdm  # type: ignore[import-untyped]

from functions.generate.engine.checkpoint import Checkpoint


def load_pipeline(checkpoint: Checkpoint, device: torch.device) -> Any:
    """The checkpoint's `MochiPipeline` on `device`: bf16 on a GPU, fp32 on a CPU.

    Only safetensors are read, and nothing is fetched.

    Raises:
        Exception: whatever diffusers or transformers raise if they can't load it.
    """
    _quieten()
    pipeline = MochiPipeline.from_pretrained(
        checkpoint.folder,
        dtype=torch.float32 if device.type == "cpu" else torch.bfloat16,
        variant=checkpoint.variant,
        use_safetensors=True,
        local_files_only=True,
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.text_encoder, pipeline.transformer, pipeline.vae):
        part.eval()  # T5 has dropout, and a seed must make one video
    return pipeline


def _quieten() -> None:
    """Silence what libraries print on every load, and prompts that they would log."""
    diffusers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    # Its own lock is a semaphore of the system, which would outlive this process when it is killed.
    tqdm.set_lock(threading.RLock())
    # The transformer asks for autocast in fp32, which is what it gets on a CPU without autocast.
    warnings.filterwarnings("ignore", message="In CPU autocast")
