"""Mochi 1 at full size with random weights, and the arithmetic of one pass, for `engine.py`.

Speed and memory do not depend on what the weights are. A forward with a batch of one is exactly the
work of one of two ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import AutoencoderKLMochi, MochiTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config, T5EncoderModel

TEXT_TOKENS: Final = 256  # what every prompt is padded to
WEIGHT_STD: Final = 0.02


@dataclass(frozen=True)
class Size:
    """A model's and a video's size.

    Attributes:
        transformer: arguments of `MochiTransformer3DModel`.
        text_encoder: arguments of `T5Config`.
        vae: arguments of `AutoencoderKLMochi`.
        width: of the video in pixels.
        height: of the video in pixels.
        frames: the lengths that are measured.
        prompt: valid tokens of the text.
    """

    transformer: dict[str, Any]
    text_encoder: dict[str, Any]
    vae: dict[str, Any]
    width: int
    height: int
    frames: tuple[int, ...]
    prompt: int


# The configurations of genmo/mochi-1-preview: those that differ from the classes' own defaults.
FULL: Final = Size(
    transformer={},
    text_encoder={
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    },
    vae={},
    width=848,
    height=480,
    frames=(31, 85, 163),
    prompt=64,
)
SMOKE: Final = Size(
    transformer={
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 2,
        "pooled_projection_dim": 16,
        "text_embed_dim": 32,
        "time_embed_dim": 8,
    },
    text_encoder={"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2},
    vae={
        "encoder_block_out_channels": (32,) * 4,
        "decoder_block_out_channels": (32,) * 4,
        "layers_per_block": (1,) * 5,
        "add_attention_block": (False,) * 5,
    },
    # Wider than a tile of 256 pixels, so that the tiled decoder has two.
    width=272,
    height=32,
    frames=(7,),
    prompt=8,
)


def build_transformer(size: Size, device: torch.device, dtype: torch.dtype) -> Any:
    """The transformer with random weights."""
    with torch.device("meta"):
        model = MochiTransformer3DModel(**size.transformer)
    return _with_random_weights(model, device, dtype)


def build_vae(size: Size, device: torch.device, dtype: torch.dtype) -> Any:
    """The VAE with random weights."""
    with torch.device("meta"):
        model = AutoencoderKLMochi(**size.vae)
    return _with_random_weights(model, device, dtype)


def build_text_encoder(size: Size, device: torch.device, dtype: torch.dtype) -> Any:
    """T5 with random weights."""
    with torch.device("meta"):
        model = T5EncoderModel(T5Config(**size.text_encoder))
    return _with_random_weights(model, device, dtype)


def _with_random_weights(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    model = model.to(dtype).to_empty(device=device).eval().requires_grad_(requires_grad=False)
    generator = torch.Generator(device).manual_seed(0)
    for weight in model.parameters():
        weight.data.normal_(std=WEIGHT_STD, generator=generator)
    return model


def latent_frames(frames: int) -> int:
    """Mochi's VAE makes six frames of a latent one, but one of the first."""
    return (frames - 1) // 6 + 1


def transformer_flops(size: Size, model: Any, frames: int) -> tuple[float, float]:
    """Floating-point operations of one branch in one step: of linear layers, and of attention.

    Two a multiplication. With N tokens of video (a token is 2x2 latents of 8x8 pixels) and T of
    text, each block has four projections and a gated feed-forward of 4/3 (in: 8/3) the width for
    the video, the same at the text's width for the text (the last block has neither the text's
    output nor its feed-forward), and attention costs 4 (N + T)^2 times the width. At full size that
    is 10.87 GFLOP a token of video.
    """
    config = model.config
    width = config.num_attention_heads * config.attention_head_dim
    text, blocks = config.pooled_projection_dim, config.num_layers
    tokens = latent_frames(frames) * (size.height // 16) * (size.width // 16)
    inner, text_inner = 4 * width * 2 // 3, 4 * text * 2 // 3
    video_weights = blocks * (4 * width * width + 3 * width * inner)
    text_weights = (blocks - 1) * (4 * text * width + 3 * text * text_inner) + 3 * text * width
    linear = 2.0 * (video_weights * tokens + text_weights * size.prompt)
    return linear, 4.0 * (tokens + size.prompt) ** 2 * width * blocks


def decoder_flops(size: Size, frames: int) -> float:
    """Floating-point operations of decoding `frames`, as torch counts them."""
    with torch.device("meta"):
        vae = AutoencoderKLMochi(**size.vae)
        latents = torch.empty(1, 12, latent_frames(frames), size.height // 8, size.width // 8)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            vae.decoder(latents)
    return float(counter.get_total_flops())
