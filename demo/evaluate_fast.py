"""Compare videos of quality `fast` with exact ones, on prompts held out of the demo's training.

    python -m demo.evaluate_fast CHECKPOINT --videos 50

Prints for each video the steps that were reused and the PSNR against the exact video with the same
seed; at the end their means, and how many videos of either quality show what the prompt says.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from demo.evaluate import FIELDS, LENGTHS, held_out_prompts
from demo.recognition import Frames, recognize
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.step_reuse import StepCounts
from functions.shared.video.profiles import Profile, Quality, load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest


def main() -> None:
    """Print a line for each video, and a summary."""
    options = _options()
    profile = load_profile("demo")
    model = Mochi(
        locate_checkpoint(str(options.checkpoint)), Ranks(), profile.sigmas, fast=profile.fast
    )
    correct: dict[str, Counter[str]] = {quality: Counter() for quality in profile.qualities}
    ratios, shares = [], []
    scenes = held_out_prompts(random.Random(options.seed), options.videos)
    for number, (scene, prompt) in enumerate(scenes):
        settings = {"prompt": prompt, "seed": options.seed + number, "size": options.size}
        settings["num_frames"] = LENGTHS[number % len(LENGTHS)]
        frames: dict[str, Frames] = {}
        counts = StepCounts()
        for quality in profile.qualities:
            counts = StepCounts()
            frames[quality] = render(model, profile, settings, quality, counts)
            found = recognize(frames[quality])
            correct[quality].update(
                field for field in FIELDS if found[field] == getattr(scene, field)
            )
        ratios.append(psnr(frames["exact"], frames["fast"]))
        shares.append(counts.reused / (counts.computed + counts.reused))
        print(
            json.dumps({"prompt": prompt, "psnr": ratios[-1], "reused": counts.reused}), flush=True
        )
    print(f"PSNR {statistics.mean(ratios):.1f} dB, lowest {min(ratios):.1f} dB")
    print(f"steps reused {statistics.mean(shares):.0%}")
    for name, fields in correct.items():
        print(name, {field: f"{fields[field] / options.videos:.0%}" for field in FIELDS})


@torch.no_grad()
def render(
    model: Mochi, profile: Profile, settings: dict[str, Any], quality: Quality, counts: StepCounts
) -> Frames:
    """The frames of one video: frames x height x width x 3; adds its steps to `counts`."""
    sent = VideoRequest.model_validate(settings | {"quality": quality})
    request = ResolvedRequest.resolve(sent, profile, "demo", "video")
    latents = model.denoise(request, model.encode_text(request), counts=counts)
    return np.concatenate([chunk.numpy() for chunk in model.decode(latents)])


def psnr(one: Frames, other: Frames) -> float:
    """The ratio of the largest value to the difference, in dB; 99 for equal frames."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return round(10 * float(np.log10(255**2 / error)), 1) if error else 99.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--videos", type=int, default=50)
    parser.add_argument("--size", default="96x64")
    parser.add_argument("--seed", type=int, default=2026, help="seed of prompts and noise")
    return parser.parse_args()


if __name__ == "__main__":
    main()
