"""Decoding in chunks gives the frames of decoding the whole video."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import AutoencoderKLMochi

from functions.generate.engine.model.streaming_decode import StreamingDecoder

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


@pytest.mark.parametrize("latent_frames", [1, 2, 5])
def test_streaming_decodes_what_the_whole_decoder_does(latent_frames: int) -> None:
    """Bit for bit in bf16, within rounding in fp32, and with no state from the previous video."""
    for dtype in (torch.bfloat16, torch.float32):
        torch.manual_seed(0)
        stock = AutoencoderKLMochi(
            encoder_block_out_channels=(32,) * 4,
            decoder_block_out_channels=(32,) * 4,
            layers_per_block=(1,) * 5,
            add_attention_block=(False,) * 5,
        )
        stock = stock.eval().to(dtype)
        streaming = StreamingDecoder(copy.deepcopy(stock))
        latents = torch.randn(1, 12, latent_frames, 3, 5)
        whole = stock.decode(streaming._denormalized(latents).to(dtype)).sample[0]
        expected = ((whole.float() / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 3, 0)
        abandoned = streaming.decode(torch.randn(1, 12, 2, 3, 5))
        next(abandoned)
        abandoned.close()
        for _ in range(2):
            chunks = list(streaming.decode(latents))
            assert [len(chunk) for chunk in chunks][:1] == [min(latent_frames, 2) * 6 - 5]
            difference = (torch.cat(chunks).float() - expected).abs()
            assert difference.shape == expected.shape
            assert difference.max() <= (0 if dtype is torch.bfloat16 else 1)
            assert difference.mean() < 1e-3
