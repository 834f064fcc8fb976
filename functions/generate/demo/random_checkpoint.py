"""Make the demo checkpoint: Mochi 1's classes, tiny, with random weights.

    python -m functions.generate.demo.random_checkpoint OUT

The same seed makes the same weights with the same version of torch.
"""

# diffusers is annotated in part, and mypy sees stand-ins for classes that it imports lazily.
# mypy: allow-untyped-calls, disable-error-code="attr-defined, call-arg, no-any-return"

from __future__ import annotations

import argparse
import json
import string
from pathlib import Path
from typing import Final

import torch
from diffusers import (
    AutoencoderKLMochi,
    FlowMatchEulerDiscreteScheduler,
    MochiPipeline,
    MochiTransformer3DModel,
)
from transformers import T5Config, T5EncoderModel, T5Tokenizer

SEED: Final = 1
TEXT_WIDTH: Final = 32
TEXT_TOKENS: Final = 256  # as Mochi 1: what the pipeline pads every prompt to
WORDS: Final = (  # noqa: SIM905 - a sentence is easier to read and to extend than a list
    "a the of and in on with at red green blue yellow white black orange purple circle square "
    "triangle star moving left right up down fast slow background sky sea city forest dog cat"
).split()
PUNCTUATION: Final = ".,;:'\"!?-()"

# How far the decoder's last layer is scaled up, so that its colours fill the range of a frame: with
# 2.5 their deviation is 0.3 to 0.7 of [-1, 1], and about 5 % of the values are cut off.
CONTRAST: Final = 2.5


def tokenizer() -> T5Tokenizer:
    """A T5 tokenizer of common words, letters and digits, made without any download."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in WORDS]
    # Far less likely than a word, so that a word that is known stays whole.
    pieces += [(c, -6.0) for c in string.ascii_letters + string.digits + PUNCTUATION]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=TEXT_TOKENS)


def text_encoder(vocabulary: int) -> T5EncoderModel:
    """Two layers of T5 for `vocabulary` tokens."""
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=TEXT_WIDTH,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    )


def transformer() -> MochiTransformer3DModel:
    """Four narrow layers of Mochi's transformer."""
    model = MochiTransformer3DModel(
        patch_size=2,
        num_attention_heads=4,
        attention_head_dim=16,
        num_layers=4,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=8,
        max_sequence_length=TEXT_TOKENS,
    )
    # diffusers leaves them unset; they are random in a trained model too.
    torch.nn.init.normal_(model.pos_frequencies, std=0.3)
    return model


def vae() -> AutoencoderKLMochi:
    """Mochi's VAE at the least width that its group norms allow, without attention."""
    model = AutoencoderKLMochi(
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        layers_per_block=(1,) * 5,
        add_attention_block=(False,) * 5,
    )
    with torch.no_grad():
        _smooth(model)
        model.decoder.proj_out.weight.mul_(CONTRAST)
        model.decoder.proj_out.bias.zero_()
    return model


def _smooth(model: AutoencoderKLMochi) -> None:
    """Let the decoder make soft blobs of colour: plain random weights make white noise.

    Each convolution gets the same weight at all taps (a blur), and each upsampling the same weights
    for all the pixels that it makes of one (nearest neighbour); both still mix channels at random.
    """
    for module in model.decoder.modules():
        if isinstance(module, torch.nn.Conv3d):
            taps = module.weight[0, 0].numel()
            mixing = torch.randn(module.weight.shape[:2]) / module.in_channels**0.5
            module.weight.copy_(mixing[..., None, None, None].expand_as(module.weight) / taps)
    for block in model.decoder.up_blocks:
        made = block.temporal_expansion * block.spatial_expansion**2
        first = block.proj.weight.unflatten(0, (-1, made))[:, :1].clone()
        block.proj.weight.copy_(first.expand(-1, made, -1).flatten(0, 1))
        block.proj.bias.zero_()


def pipeline(seed: int) -> MochiPipeline:
    """The whole pipeline in bf16, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    words = tokenizer()
    whole = MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=vae().eval(),
        text_encoder=text_encoder(len(words)).eval(),
        tokenizer=words,
        transformer=transformer().eval(),
        force_zeros_for_empty_prompt=True,
    )
    return whole.to(torch.bfloat16)


def save(folder: Path, seed: int = SEED) -> None:
    """Write the checkpoint that `seed` makes to `folder`, as bf16 safetensors."""
    pipeline(seed).save_pretrained(folder, safe_serialization=True)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # it is written for its owner only, and other users serve it
    for path in folder.rglob("*.json"):
        # Sorted, and without where it came from, so that the files are the same on every machine.
        content = json.loads(path.read_text())
        content.pop("_name_or_path", None)
        path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    save(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
