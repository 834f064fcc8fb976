"""Ask the demo checkpoint for scenes that it was not trained on, and look at what it makes.

    python -m demo.evaluate CHECKPOINT --videos 200 --sheet docs/demo.png

Prints, for each size, how many videos show the colour, the shape, the direction and the background
that the prompt names, and how long a video takes alone. Combinations and orders of words are those
kept from training.
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

from demo.batches import OFFERED
from demo.judge import Frames, Verdict, judge
from demo.prompts import ask
from demo.scenes import Scene, draw, scenes
from functions.shared.video.profiles import load_profile

FIELDS: Final = ("colour", "shape", "direction", "background")
LENGTHS: Final = (7, 13, 19, 25)
# Videos that are made together, of one length: enough to be quicker than one by one.
_AT_ONCE: Final = 5
# Videos on the sheet, and frames of each.
_SHEET: Final = 24
_SHOWN: Final = 5
# Pixels for a prompt's line, and between columns.
_LINE: Final = 22
_GAP: Final = 12


def main() -> None:
    """Print the table, and draw the sheet if asked."""
    options = _options()
    pipeline = MochiPipeline.from_pretrained(options.checkpoint, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    print("| size | " + " | ".join(FIELDS) + " | seconds, stock pipeline |")
    print("|---|" + "---|" * (len(FIELDS) + 1))
    for width, height in OFFERED:
        right = score(pipeline, width, height, options.videos, options.seed, _say(options.verbose))
        shares = " | ".join(f"{right[field] / options.videos:.1%}" for field in FIELDS)
        seconds = _seconds(pipeline, width, height)
        print(f"| {width}x{height} | {shares} | {seconds:.2f} |", flush=True)
    if options.sheet:
        sheet(pipeline, options.seed).save(options.sheet, optimize=True)


def questions(rng: random.Random, count: int) -> list[tuple[Scene, str]]:
    """Scenes that no training has seen, and prompts for them."""
    return [(scene, ask(scene, rng)) for scene in draw(rng, scenes(held_out=True), count)]


def make(
    pipeline: Any, prompts: Sequence[str], width: int, height: int, frames: int, seed: int
) -> Frames:
    """Videos with the profile's defaults: count x frames x height x width x 3."""
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


def score(
    pipeline: Any,
    width: int,
    height: int,
    videos: int,
    seed: int,
    told: Callable[[str, int, Verdict], None] = lambda _prompt, _frames, _seen: None,
) -> Counter[str]:
    """How many of so many videos show what was asked, by field; each verdict is `told`."""
    right: Counter[str] = Counter()
    for number, batch in enumerate(_batches(questions(random.Random(seed), videos))):
        frames = LENGTHS[number % len(LENGTHS)]
        prompts = [prompt for _, prompt in batch]
        made = make(pipeline, prompts, width, height, frames, seed + number * _AT_ONCE)
        for (scene, prompt), video in zip(batch, made, strict=True):
            seen = judge(video)
            right.update(field for field in FIELDS if seen[field] == getattr(scene, field))
            told(prompt, frames, seen)
    return right


def sheet(pipeline: Any, seed: int) -> Image.Image:
    """Frames of 24 videos, each below its prompt."""
    width, height = 96, 64
    asked = questions(random.Random(seed), _SHEET)
    page = Image.new("RGB", ((_SHOWN * width + _GAP) * 2, (height + _LINE) * _SHEET // 2), "white")
    pen = ImageDraw.Draw(page)
    for i, (_, prompt) in enumerate(asked):
        (video,) = make(pipeline, [prompt], width, height, LENGTHS[-1], seed + i)
        left, top = (i % 2) * (_SHOWN * width + _GAP), i // 2 * (height + _LINE)
        pen.text((left + 2, top + 4), prompt, fill="black")
        for j, at in enumerate(np.linspace(0, len(video) - 1, _SHOWN).round().astype(int)):
            page.paste(Image.fromarray(video[at]), (left + j * width, top + 18))
    return page


def _seconds(pipeline: Any, width: int, height: int) -> float:
    """Of one video of the default length: the median of three."""
    frames, took = load_profile("demo").num_frames.default, []
    for seed in range(3):
        began = time.monotonic()
        make(pipeline, ["a red circle moving right"], width, height, frames, seed)
        took.append(time.monotonic() - began)
    return sorted(took)[1]


def _say(verbose: bool) -> Callable[[str, int, Verdict], None]:
    def say(prompt: str, frames: int, seen: Verdict) -> None:
        if verbose:
            print(json.dumps({"prompt": prompt, "frames": frames, "seen": seen}))

    return say


def _batches(asked: list[tuple[Scene, str]]) -> Iterator[list[tuple[Scene, str]]]:
    for i in range(0, len(asked), _AT_ONCE):
        yield asked[i : i + _AT_ONCE]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--videos", type=int, default=200, help="of each size")
    parser.add_argument("--seed", type=int, default=2026, help="of prompts and noise")
    parser.add_argument("--sheet", type=Path, help="a picture to draw")
    parser.add_argument("--verbose", action="store_true", help="say what each video shows")
    return parser.parse_args()


if __name__ == "__main__":
    main()
