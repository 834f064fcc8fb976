"""The untrained components of the demo pipeline: Mochi 1's classes at a tiny size.

They differ from Mochi 1 in widths and numbers of layers. The autoencoder has no layers at full and
half resolution: on a CPU they would take most of the time, and plain shapes don't need them.
"""

from __future__ import annotations

import math
import string
from typing import Final

import torch
from diffusers import (
    AutoencoderKLMochi,
    FlowMatchEulerDiscreteScheduler,
    MochiPipeline,
    MochiTransformer3DModel,
)
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from demo.prompts import PUNCTUATION, vocabulary

TEXT_WIDTH: Final = 64
TEXT_TOKENS: Final = 256  # the length to which the pipeline pads prompts, as in Mochi 1
LAYERS: Final = 4
HEADS: Final = 5
HEAD_SIZE: Final = 32
# Side of a transformer token in pixels: 8 from the autoencoder times 2 from patches.
TOKEN_PIXELS: Final = 16
# Mochi scales a frame's token positions for RoPE to an area of this side squared.
ROPE_SIDE: Final = 192


def tokenizer() -> T5Tokenizer:
    """A T5 tokenizer of the demo's words, letters and digits, built without a download.

    Each word also has a capitalized token, for the start of a sentence.
    """
    words = vocabulary()
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in (*words, *map(str.capitalize, words))]
    # Far less likely than words, so that known words are not split.
    pieces += [(c, -6.0) for c in string.ascii_letters + string.digits + PUNCTUATION]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=TEXT_TOKENS)


def lowercase_tokens(words: T5Tokenizer) -> dict[int, int]:
    """The ids of capitalized tokens, mapped to the ids of their lower-case forms."""
    known = words.get_vocab()
    pairs = ((token, number, known.get(token.lower())) for token, number in known.items())
    return {n: low for token, n, low in pairs if low is not None and low != n}


def text_encoder(words: T5Tokenizer) -> T5EncoderModel:
    """A T5 encoder with two layers."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(words),
            d_model=TEXT_WIDTH,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    )


def transformer(layers: int = LAYERS) -> MochiTransformer3DModel:
    """Mochi's transformer, 160 wide, with `layers` blocks."""
    model = MochiTransformer3DModel(
        patch_size=2,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_SIZE,
        num_layers=layers,
        pooled_projection_dim=64,
        in_channels=12,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=64,
        max_sequence_length=TEXT_TOKENS,
    )
    with torch.no_grad():
        model.pos_frequencies.copy_(_frequencies())
        # The untrained prediction is 0, the mean of all targets.
        model.proj_out.weight.zero_()
        model.proj_out.bias.zero_()
    return model


def _frequencies() -> Tensor:
    """RoPE frequencies: radians per position, 3 (time, height, width) x heads x half a head.

    diffusers leaves them 0. These rotate by 0.1 to 3 radians from one token to the next, in a frame
    of about 24 tokens, each mostly along one axis. They are trained further.
    """
    shape = (HEADS, HEAD_SIZE // 2)
    angle = torch.exp(torch.empty(shape).uniform_(math.log(0.1), math.log(3.0)))
    axis = torch.nn.functional.normalize(torch.randn(3, *shape) ** 3, dim=0)
    token = torch.tensor([1.0, ROPE_SIDE / 24**0.5, ROPE_SIDE / 24**0.5])
    return axis * angle / token[:, None, None]


def autoencoder() -> AutoencoderKLMochi:
    """Mochi's autoencoder: convolutions at low resolution, linear maps above that."""
    return AutoencoderKLMochi(
        encoder_block_out_channels=(16, 32, 32, 64),
        decoder_block_out_channels=(12, 16, 32, 64),
        # From full resolution to latents; the last two are at latent resolution.
        layers_per_block=(0, 0, 1, 1, 1),
        add_attention_block=(False,) * 5,
    )


def pipeline(layers: int = LAYERS) -> MochiPipeline:
    """The untrained pipeline in fp32, with weights from torch's global generator.

    `layers` are those of the transformer.
    """
    words = tokenizer()
    return MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=autoencoder().eval(),
        text_encoder=text_encoder(words).eval(),
        tokenizer=words,
        transformer=transformer(layers).eval(),
        force_zeros_for_empty_prompt=True,
    )
