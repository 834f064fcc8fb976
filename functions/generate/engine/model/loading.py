"""Loads a checkpoint, Mochi 1 or the demo, straight to the device.

The modules are built without memory for their weights, which are then read once, from the files to
the device. The usual way (`from_pretrained`, then `to`) first holds all weights in the host's
memory, in each process.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from diffusers import AutoencoderKLMochi, MochiTransformer3DModel
from safetensors import safe_open
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from functions.generate.engine.model.checkpoint import Checkpoint, CheckpointError
from functions.generate.engine.model.loras import fuse_lora

# Files read concurrently. A single reader would wait in turn for the disk and for the device.
READERS: Final = 4


@dataclass(frozen=True)
class Components:
    """What of a checkpoint computes: two modules of diffusers, and two of transformers.

    Attributes:
        tokenizer: a T5 tokenizer.
        text_encoder: a `T5EncoderModel`.
        transformer: a `MochiTransformer3DModel`.
        vae: an `AutoencoderKLMochi`.
    """

    tokenizer: Any
    text_encoder: Any
    transformer: Any
    vae: Any


def load_components(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Components:
    """The checkpoint's components on `device`, their weights in `dtype` and with its LoRAs.

    Only safetensors are read, and nothing is downloaded.

    Raises:
        CheckpointError: weights or a LoRA are damaged, or do not match the configuration.
        Exception: diffusers or transformers can't read a configuration.
    """
    _silence_libraries()
    folder = checkpoint.folder
    with torch.device("meta"):
        transformer = MochiTransformer3DModel.from_config(
            MochiTransformer3DModel.load_config(folder / "transformer")
        )
        vae = AutoencoderKLMochi.from_config(AutoencoderKLMochi.load_config(folder / "vae"))
        text_encoder = transformers.T5EncoderModel(
            transformers.T5Config.from_pretrained(folder / "text_encoder")
        )
    modules = {"transformer": transformer, "text_encoder": text_encoder, "vae": vae}
    for name, module in modules.items():
        load_weights(module, checkpoint.weights[name], device, dtype)
        module.eval()  # without T5's dropout, which would make renders differ
    for lora in checkpoint.loras:
        fuse_lora(transformer, lora.file, lora.scale)
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder / "tokenizer", local_files_only=True
    )
    return Components(tokenizer=tokenizer, **modules)


def load_weights(
    module: nn.Module, files: tuple[Path, ...], device: torch.device, dtype: torch.dtype
) -> None:
    """Read the weights of `module`, built on the device 'meta', from safetensors files to `device`.

    Raises:
        CheckpointError: the tensors in the files do not match those of `module`, or have values
            that are not finite.
    """

    def read(path: Path) -> dict[str, Tensor]:
        with safe_open(path, "pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name).to(dtype) for name in file.keys()}  # noqa: SIM118 - not a dict
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise CheckpointError(f"{path}: is damaged: {name} has values that are not finite")
        return tensors

    with ThreadPoolExecutor(READERS) as readers:
        found = {name: tensor for one in readers.map(read, files) for name, tensor in one.items()}
    # Tied weights: one tensor with two names, only one of which is in the files.
    for alias, name in getattr(module, "_tied_weights_keys", {}).items():
        known = found.get(name, found.get(alias))
        if known is not None:
            found |= {alias: known, name: known}
    _check_tensors(module.state_dict(), found, files[0].parent)
    module.load_state_dict(found, assign=True)
    module.requires_grad_(requires_grad=False)


def _check_tensors(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], folder: Path
) -> None:
    for name in sorted(expected.keys() ^ found.keys()):
        what = "is not in its files" if name in expected else "is not in its configuration"
        raise CheckpointError(f"{folder}: the tensor {name} {what}")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise CheckpointError(
                f"{folder}: the tensor {name} has the shape {tuple(found[name].shape)}, but its "
                f"configuration requires {tuple(tensor.shape)}"
            )


def _silence_libraries() -> None:
    """Silence what libraries print on every load, and keep prompts out of their logs."""
    diffusers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    # tqdm's default lock is a system semaphore, which would leak when this process is killed.
    tqdm.set_lock(threading.RLock())
    # The transformer requests autocast to fp32. A CPU has none, and computes in fp32 anyway.
    warnings.filterwarnings("ignore", message="In CPU autocast")
