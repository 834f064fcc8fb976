"""Evaluate the demo checkpoint on prompts for scenes that were held out of training.

    python -m demo.evaluate CHECKPOINT --videos 200 --sheet docs/demo.png

Prints, for each size, the share of videos that show the colour, shape, direction and background
named in the prompt, and how long a single video takes. Both the combinations and the word orders
were held out of training.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import MochiPipeline
from PIL import Image, ImageDraw

from demo.prompts import evaluation_prompt
from demo.recognition import Frames, Recognition, recognize
from demo.scenes import Scene, list_scenes, sample_scenes
from demo.training_data import PROFILE_SIZES
from functions.shared.video.profiles import load_profile

FIELDS: Final = ("colour", "shape", "direction", "background")
LENGTHS: Final = (7, 13, 19, 25)
# Videos generated together, of one length: faster than one by one.
_BATCH_SIZE: Final = 5
# Videos on the contact sheet, and frames of each.
_SHEET_VIDEOS: Final = 24
_SHEET_FRAMES: Final = 5
# Pixels: height of a prompt's line, and the gap between columns.
_LINE: Final = 22
_GAP: Final = 12


def main() -> None:
    """Print the table, and write the contact sheet if requested."""
    options = _options()
    pipeline = MochiPipeline.from_pretrained(options.checkpoint, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    print("| size | " + " | ".join(FIELDS) + " | seconds, stock pipeline |")
    print("|---|" + "---|" * (len(FIELDS) + 1))
    for width, height in PROFILE_SIZES:
        report = _report if options.verbose else _ignore
        correct = score(pipeline, width, height, options.videos, options.seed, report)
        shares = " | ".join(f"{correct[field] / options.videos:.1%}" for field in FIELDS)
        seconds = _seconds(pipeline, width, height)
        print(f"| {width}x{height} | {shares} | {seconds:.2f} |", flush=True)
    if options.sheet:
        contact_sheet(pipeline, options.seed).save(options.sheet, optimize=True)


def held_out_prompts(rng: random.Random, count: int) -> list[tuple[Scene, str]]:
    """Scenes that were held out of training, and prompts for them."""
    return [
        (scene, evaluation_prompt(scene, rng))
        for scene in sample_scenes(rng, list_scenes(held_out=True), count)
    ]


def generate(
    pipeline: Any, prompts: Sequence[str], width: int, height: int, frames: int, seed: int
) -> Frames:
    """Videos for `prompts` with the profile's defaults: count x frames x height x width x 3."""
    defaults = load_profile("demo")
    result = pipeline(
        list(prompts),
        width=width,
        height=height,
        num_frames=frames,
        num_inference_steps=defaults.num_inference_steps.default,
        guidance_scale=defaults.guidance_scale.default,
        generator=[torch.Generator().manual_seed(seed + i) for i in range(len(prompts))],
        output_type="np",
    )
    return (np.asarray(result.frames) * 255).round().astype(np.uint8)


def _ignore(_prompt: str, _frames: int, _recognized: Recognition) -> None:
    pass


def _report(prompt: str, frames: int, recognized: Recognition) -> None:
    print(json.dumps({"prompt": prompt, "frames": frames, "recognized": recognized}))


def score(
    pipeline: Any,
    width: int,
    height: int,
    videos: int,
    seed: int,
    report: Callable[[str, int, Recognition], None] = _ignore,
) -> Counter[str]:
    """How many of `videos` videos match their prompt, by field; calls `report` for each video."""
    correct: Counter[str] = Counter()
    for number, batch in enumerate(_batches(held_out_prompts(random.Random(seed), videos))):
        frames = LENGTHS[number % len(LENGTHS)]
        prompts = [prompt for _, prompt in batch]
        generated = generate(pipeline, prompts, width, height, frames, seed + number * _BATCH_SIZE)
        for (scene, prompt), video in zip(batch, generated, strict=True):
            recognized = recognize(video)
            correct.update(field for field in FIELDS if recognized[field] == getattr(scene, field))
            report(prompt, frames, recognized)
    return correct


def contact_sheet(pipeline: Any, seed: int) -> Image.Image:
    """Frames of 24 videos in two columns, each below its prompt."""
    width, height = 96, 64
    column, row = _SHEET_FRAMES * width + _GAP, height + _LINE
    page = Image.new("RGB", (column * 2, row * _SHEET_VIDEOS // 2), "white")
    pen = ImageDraw.Draw(page)
    for i, (_, prompt) in enumerate(held_out_prompts(random.Random(seed), _SHEET_VIDEOS)):
        (video,) = generate(pipeline, [prompt], width, height, LENGTHS[-1], seed + i)
        left, top = (i % 2) * column, i // 2 * row
        pen.text((left + 2, top + 4), prompt, fill="black")
        for j, at in enumerate(np.linspace(0, len(video) - 1, _SHEET_FRAMES).round().astype(int)):
            page.paste(Image.fromarray(video[at]), (left + j * width, top + 18))
    return page


def _seconds(pipeline: Any, width: int, height: int) -> float:
    """Seconds for one video of the default length, the median of three."""
    frames, took = load_profile("demo").num_frames.default, []
    for seed in range(3):
        began = time.monotonic()
        generate(pipeline, ["a red circle moving right"], width, height, frames, seed)
        took.append(time.monotonic() - began)
    return sorted(took)[1]


def _batches(prompts: list[tuple[Scene, str]]) -> Iterator[list[tuple[Scene, str]]]:
    for i in range(0, len(prompts), _BATCH_SIZE):
        yield prompts[i : i + _BATCH_SIZE]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--videos", type=int, default=200, help="videos per size")
    parser.add_argument("--seed", type=int, default=2026, help="seed of prompts and noise")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this file")
    parser.add_argument("--verbose", action="store_true", help="print what each video shows")
    return parser.parse_args()


if __name__ == "__main__":
    main()
