"""Train the demo checkpoint from scratch: autoencoder, transformer and text encoder.

    python -m demo.train OUT

The same seed produces the same weights on the same kind of machine with the same version of torch
and the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any, Final

import torch

from demo import autoencoder, components, denoiser

SEED: Final = 1
# Together they took 69 minutes on two cores of a CPU with bf16 matrix instructions.
DECODER_STEPS: Final = 1600
ENCODER_STEPS: Final = 300
TRANSFORMER_STEPS: Final = 7000

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> None:
    """Run with `arguments`, or with those of the command line."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(options.seed)
    began = time.monotonic()
    pipeline = components.pipeline()
    basis = autoencoder.train(
        pipeline.vae, options.decoder_steps, options.encoder_steps, options.seed
    )
    denoiser.train(pipeline, basis, options.transformer_steps, options.seed)
    save(pipeline, options.out)
    log.info("%s: %.1f minutes", options.out, (time.monotonic() - began) / 60)


def save(pipeline: Any, folder: Path) -> None:
    """Cast `pipeline` to bf16 and write it to `folder`, in reproducible files."""
    pipeline.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # written with 0600, but served by other users
    for path in folder.rglob("*.json"):
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
