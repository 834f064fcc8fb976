"""Mochi 1 at full size with random weights, and its FLOPs per forward pass, for `engine.py`.

A forward pass with a batch of one is exactly the work of one of two ranks. Speed does depend on
the values: a GPU's clock rises with operands that toggle few bits. So the weights keep activations
as large as a trained model does: norms multiply by 1, and a product's weights have the standard
deviation 1 / sqrt(fan-in), so that its result is as large as its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import AutoencoderKLMochi, MochiTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config, T5EncoderModel

TEXT_TOKENS: Final = 256  # the length to which prompts are padded


@dataclass(frozen=True)
class Size:
    """The sizes of a model and of the videos to measure.

    Attributes:
        transformer: arguments of `MochiTransformer3DModel`.
        text_encoder: arguments of `T5Config`.
        vae: arguments of `AutoencoderKLMochi`.
        width: of the videos, in pixels.
        height: of the videos, in pixels.
        frames: lengths of the videos, in frames.
        prompt: length of the prompt in tokens, without padding.
    """

    transformer: dict[str, Any]
    text_encoder: dict[str, Any]
    vae: dict[str, Any]
    width: int
    height: int
    frames: tuple[int, ...]
    prompt: int


# The configuration of genmo/mochi-1-preview, where it differs from the classes' defaults.
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
    # Wider than a tile of 256 pixels, so that the tiled decoder uses two.
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
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            weight.data.normal_(std=weight[0].numel() ** -0.5, generator=generator)
        else:  # a norm's weight, or a bias
            weight.data.fill_(float(name.endswith("weight")))
    return model


def latent_frames(frames: int) -> int:
    """The latent frames of a video: the first stands for one frame, each later one for six."""
    return (frames - 1) // 6 + 1


def transformer_flops(size: Size, model: Any, frames: int) -> tuple[float, float]:
    """FLOPs of one branch in one step: those of linear layers, and those of attention.

    A multiply-add counts as two. With N tokens of video (a token is 2x2 latents of 8x8 pixels) and
    T of text, each block has, for the video, four projections and a gated feed-forward network
    with an inner width of 8/3 of the model's (two matrices in, one out), and the same for the text
    at the text's width (in the last block the text has neither an output projection nor a
    feed-forward network). Attention costs 4 (N + T)^2 times the width. At full size, linear layers
    take 10.87 GFLOP per token of video.
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
    """FLOPs of decoding a video of `frames` frames, as counted by torch."""
    with torch.device("meta"):
        vae = AutoencoderKLMochi(**size.vae)
        latents = torch.empty(1, 12, latent_frames(frames), size.height // 8, size.width // 8)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            vae.decoder(latents)
    return float(counter.get_total_flops())
