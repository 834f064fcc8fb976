"""Make the demo checkpoint from nothing: clips, autoencoder, transformer and text encoder.

    python -m demo.train OUT

The same seed makes the same weights on the same kind of machine with the same version of torch and
number of threads.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any, Final

import torch

from demo import autoencoder, denoiser, parts

SEED: Final = 1
# What took 69 minutes on two cores of a CPU that multiplies in bf16.
DECODER_STEPS: Final = 1600
ENCODER_STEPS: Final = 300
TRANSFORMER_STEPS: Final = 7000

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> None:
    """Run with the arguments of the command line, or with others."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(options.seed)
    began = time.monotonic()
    pipeline = parts.pipeline()
    basis = autoencoder.train(
        pipeline.vae, options.decoder_steps, options.encoder_steps, options.seed
    )
    denoiser.train(pipeline, basis, options.transformer_steps, options.seed)
    save(pipeline, options.out)
    log.info("%s: %.1f minutes", options.out, (time.monotonic() - began) / 60)


def save(pipeline: Any, folder: Path) -> None:
    """Cast `pipeline` to bf16 and write it to `folder`, with nothing of this machine in it."""
    pipeline.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # it is written for its owner only, and other users serve it
    for path in folder.rglob("*.json"):
        # Sorted, and without where it came from.
        content = json.loads(path.read_text())
        content.pop("_name_or_path", None)
        path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--decoder-steps", type=int, default=DECODER_STEPS)
    parser.add_argument("--encoder-steps", type=int, default=ENCODER_STEPS)
    parser.add_argument("--transformer-steps", type=int, default=TRANSFORMER_STEPS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
