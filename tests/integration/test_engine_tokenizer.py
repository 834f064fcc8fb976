"""The tokenizer of Mochi 1 is a SentencePiece model without a `tokenizer.json`."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import sentencepiece
import torch

from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.loading import load_components
from tests.demo_engine import DEMO

# What transformers needs to load a T5 tokenizer. Mochi's file has the same, plus 100 extra tokens.
CONFIGURATION = {
    "tokenizer_class": "T5Tokenizer",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "extra_ids": 0,
    "model_max_length": 256,
}


def test_a_sentencepiece_model_is_loaded(tmp_path: Path) -> None:
    """Genmo publishes its tokenizer like this; the demo's needs no sentencepiece."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    shutil.rmtree(folder / "tokenizer")
    (folder / "tokenizer").mkdir()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a red circle moving right", "a blue square moving left"]),
        model_writer=model,
        vocab_size=26,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "tokenizer" / "spiece.model").write_bytes(model.getvalue())
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(CONFIGURATION))
    components = load_components(locate_checkpoint(str(folder)), torch.device("cpu"), torch.float32)
    tokens = components.tokenizer("a red circle").input_ids
    assert components.tokenizer.decode(tokens) == "a red circle</s>"
