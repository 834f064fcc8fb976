"""Load a checkpoint: the only way, for Mochi 1 and for the demo.

The parts are built without memory for their weights, which are then read once, from the files
straight to the device. The usual way (`from_pretrained`, then `to`) holds all of them in the host's
memory first, in each process.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKLMochi,
    FlowMatchEulerDiscreteScheduler,
    MochiPipeline,
    MochiTransformer3DModel,
)
from safetensors import safe_open
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from functions.generate.engine.model.checkpoint import Checkpoint, CheckpointError

# Files read at a time. One reader waits for the disk and for the copy to the device in turn.
READERS: Final = 4


def load_pipeline(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Any:
    """The checkpoint's `MochiPipeline` on `device`, its weights in `dtype`.

    Only safetensors are read, and nothing is fetched.

    Raises:
        CheckpointError: the weights are not those of the configuration.
        Exception: whatever diffusers or transformers raise if they can't read a configuration.
    """
    _quieten()
    folder = checkpoint.folder
    with torch.device("meta"):
        transformer = MochiTransformer3DModel.from_config(
            MochiTransformer3DModel.load_config(folder / "transformer")
        )
        vae = AutoencoderKLMochi.from_config(AutoencoderKLMochi.load_config(folder / "vae"))
        text_encoder = transformers.T5EncoderModel(
            transformers.T5Config.from_pretrained(folder / "text_encoder")
        )
    parts = {"transformer": transformer, "text_encoder": text_encoder, "vae": vae}
    for name, part in parts.items():
        fill(part, checkpoint.weights[name], device, dtype)
        part.eval()  # T5 has dropout, and a seed must make one video
    pipeline = MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        tokenizer=transformers.AutoTokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True
        ),
        force_zeros_for_empty_prompt=checkpoint.force_zeros_for_empty_prompt,
        **parts,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def fill(
    part: nn.Module, files: tuple[Path, ...], device: torch.device, dtype: torch.dtype
) -> None:
    """Read the weights of `part`, built on the device 'meta', from safetensors files to `device`.

    Raises:
        CheckpointError: the files have other tensors than `part`.
    """

    def read(path: Path) -> dict[str, Tensor]:
        with safe_open(path, "pt", device=str(device)) as file:
            return {name: file.get_tensor(name).to(dtype) for name in file.keys()}  # noqa: SIM118 - no dict

    with ThreadPoolExecutor(READERS) as readers:
        found = {name: tensor for one in readers.map(read, files) for name, tensor in one.items()}
    # Two names of one tensor, of which files hold one.
    for alias, name in getattr(part, "_tied_weights_keys", {}).items():
        known = found.get(name, found.get(alias))
        if known is not None:
            found |= {alias: known, name: known}
    _check(part.state_dict(), found, files[0].parent)
    part.load_state_dict(found, assign=True)
    part.requires_grad_(requires_grad=False)


def _check(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], folder: Path) -> None:
    for name in sorted(wanted.keys() ^ found.keys()):
        what = "is not in its files" if name in wanted else "is not in its configuration"
        raise CheckpointError(f"{folder}: the tensor {name} {what}")
    for name, tensor in wanted.items():
        if tensor.shape != found[name].shape:
            raise CheckpointError(
                f"{folder}: the tensor {name} has the shape {tuple(found[name].shape)}, and its "
                f"configuration wants {tuple(tensor.shape)}"
            )


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
