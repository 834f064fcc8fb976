"""The tokenizer of the real checkpoint: a SentencePiece model, and no `tokenizer.json`."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import sentencepiece
import torch

from functions.generate.engine.model import checkpoint
from functions.generate.engine.model.loading import load_pipeline
from tests.two_ranks import DEMO

# What transformers needs to know of a T5; Mochi's file says the same, with all 100 extra tokens.
CONFIGURATION = {
    "tokenizer_class": "T5Tokenizer",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "extra_ids": 0,
    "model_max_length": 256,
}


def test_a_sentencepiece_model_is_loaded(tmp_path: Path) -> None:
    """As genmo publishes it; the demo's tokenizer is a file that needs none of its libraries."""
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
    pipeline = load_pipeline(checkpoint.locate(str(folder)), torch.device("cpu"), torch.float32)
    tokens = pipeline.tokenizer("a red circle").input_ids
    assert pipeline.tokenizer.decode(tokens) == "a red circle</s>"
