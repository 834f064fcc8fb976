"""The parts of the demo's pipeline before training: Mochi 1's classes, tiny.

What differs from Mochi 1 are widths and numbers of layers, and that the autoencoder has none where
frames have their full size or half of it: those would be most of the time on a CPU, and plain
shapes need none.
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
TEXT_TOKENS: Final = 256  # as Mochi 1: what the pipeline pads every prompt to
HEADS: Final = 5
HEAD_SIZE: Final = 32
# Pixels of a token of the transformer: 8 by the autoencoder, 2 by its patches.
TOKEN_PIXELS: Final = 16
# The sides of Mochi's rotary positions: a frame's tokens are spread over such an area.
ROPE_SIDE: Final = 192


def tokenizer() -> T5Tokenizer:
    """A T5 tokenizer of the demo's words, letters and digits, made without any download.

    Each word is there a second time as it stands at the beginning of a sentence.
    """
    words = vocabulary()
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in (*words, *map(str.capitalize, words))]
    # Far less likely than a word, so that a word that is known stays whole.
    pieces += [(c, -6.0) for c in string.ascii_letters + string.digits + PUNCTUATION]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=TEXT_TOKENS)


def same_tokens(words: T5Tokenizer) -> dict[int, int]:
    """Tokens that begin with a capital, and what they are without."""
    known = words.get_vocab()
    pairs = ((token, number, known.get(token.lower())) for token, number in known.items())
    return {n: low for token, n, low in pairs if low is not None and low != n}


def text_encoder(words: T5Tokenizer) -> T5EncoderModel:
    """Two layers of T5."""
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


def transformer(layers: int = 4) -> MochiTransformer3DModel:
    """Mochi's transformer, 160 wide."""
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
        # So that the first prediction is the mean of all targets.
        model.proj_out.weight.zero_()
        model.proj_out.bias.zero_()
    return model


def _frequencies() -> Tensor:
    """Angles a position, 3 x heads x half a head: time, height, width.

    diffusers leaves them 0. These turn by 0.1 to 3 radians from one token to the next, each along
    one axis mostly; a frame of about 24 tokens is the measure. Training may move them.
    """
    shape = (HEADS, HEAD_SIZE // 2)
    angle = torch.exp(torch.empty(shape).uniform_(math.log(0.1), math.log(3.0)))
    axis = torch.nn.functional.normalize(torch.randn(3, *shape) ** 3, dim=0)
    token = torch.tensor([1.0, ROPE_SIDE / 24**0.5, ROPE_SIDE / 24**0.5])
    return axis * angle / token[:, None, None]


def autoencoder() -> AutoencoderKLMochi:
    """Mochi's autoencoder: convolutions where frames are small, linear maps from there on."""
    return AutoencoderKLMochi(
        encoder_block_out_channels=(16, 32, 32, 64),
        decoder_block_out_channels=(12, 16, 32, 64),
        # From full frames to latents; the last two are at the size of latents.
        layers_per_block=(0, 0, 1, 1, 1),
        add_attention_block=(False,) * 5,
    )


def pipeline() -> MochiPipeline:
    """All of them, in fp32, drawn from torch's global generator."""
    words = tokenizer()
    return MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=autoencoder().eval(),
        text_encoder=text_encoder(words).eval(),
        tokenizer=words,
        transformer=transformer().eval(),
        force_zeros_for_empty_prompt=True,
    )
