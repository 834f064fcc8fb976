"""Adds LoRAs to a transformer's weights when it is loaded, so that they cost nothing later.

Each changes the weights of some linear layers by scale * alpha / rank * up @ down. The names of
diffusers have dots (`transformer_blocks.0.attn1.to_q.lora_A.weight`), those of kohya's programs
underscores (`lora_unet_transformer_blocks_0_attn1_to_q.lora_down.weight`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor, nn

from functions.generate.engine.model.checkpoint import CheckpointError

# The suffixes of a layer's tensors, and what each is.
_PARTS: Final = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".alpha": "alpha",
}
_PREFIXES: Final = ("base_model.model.", "transformer.", "lora_unet_", "lora_transformer_")
# Where diffusers stores what peft was trained with.
_METADATA: Final = "lora_adapter_metadata"


def fuse_lora(transformer: nn.Module, file: Path, scale: float) -> None:
    """Add the LoRA in `file` to the weights of a `MochiTransformer3DModel`.

    Raises:
        CheckpointError: it is not one for this transformer; then no weight has changed.
    """
    layers = {
        name: module
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear)
    }
    names = {name: name for name in layers} | {name.replace(".", "_"): name for name in layers}
    parts, alpha = _read(file, names)
    for name, found in parts.items():
        _check(file, name, found, layers[name])
    if scale == 0:
        return  # adding zeros would turn negative zeros into positive ones
    for name, found in parts.items():
        weight = layers[name].weight
        up, down = (found[part].to(weight.device, torch.float32) for part in ("up", "down"))
        rank = down.shape[0]
        strength = float(found["alpha"]) / rank if "alpha" in found else (alpha or rank) / rank
        weight.data = (weight.float() + scale * strength * (up @ down)).to(weight.dtype)


def _read(file: Path, names: dict[str, str]) -> tuple[dict[str, dict[str, Tensor]], float | None]:
    """The tensors of each layer, by what they are, and the alpha of those without one."""
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    with safe_open(file, "pt") as content:
        for key in content.keys():  # noqa: SIM118 - not a dict
            suffix = next((one for one in _PARTS if key.endswith(one)), "")
            layer = names.get(_without_prefix(key.removesuffix(suffix))) if suffix else None
            if layer is None:
                raise CheckpointError(
                    f"{file}: {key} belongs to no linear layer of this transformer; use a LoRA of "
                    "Mochi 1's transformer, with the names of diffusers or of kohya"
                )
            parts[layer][_PARTS[suffix]] = content.get_tensor(key)
        return dict(parts), _alpha_in(file, content.metadata() or {})


def _alpha_in(file: Path, metadata: dict[str, str]) -> float | None:
    try:
        adapter: dict[str, Any] = json.loads(metadata.get(_METADATA, "{}"))
        alpha = adapter.get("transformer.lora_alpha", adapter.get("lora_alpha"))
        return None if alpha is None else float(alpha)
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{file}: has no readable {_METADATA}; export it again") from error


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _check(file: Path, name: str, found: dict[str, Tensor], layer: nn.Linear) -> None:
    missing = {"up", "down"} - found.keys()
    if missing:
        raise CheckpointError(
            f"{file}: {name} has no {missing.pop()} matrix; export the LoRA again, or remove it "
            "from LORAS"
        )
    up, down = found["up"], found["down"]
    expected = (layer.out_features, layer.in_features)
    if up.ndim != 2 or down.ndim != 2 or up.shape[1] != down.shape[0]:  # noqa: PLR2004 - matrices
        raise CheckpointError(
            f"{file}: the matrices of {name} do not fit together; export it again"
        )
    if (up.shape[0], down.shape[1]) != expected:
        raise CheckpointError(
            f"{file}: {name} is for weights of {up.shape[0]} x {down.shape[1]}, but this model has "
            f"{expected[0]} x {expected[1]}; use a LoRA of this model"
        )
    if not all(bool(torch.isfinite(one).all()) for one in found.values()):
        raise CheckpointError(
            f"{file}: is damaged: {name} has values that are not finite; copy the file again"
        )
