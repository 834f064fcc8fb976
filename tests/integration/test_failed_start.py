"""`generate` fails to start if it can't load its model, and logs why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gunicorn.arbiter import Arbiter

from local.stack import ROOT
from tests.harness import RunningStack

DEMO = ROOT / "functions" / "generate" / "demo" / "checkpoint"


def _remove(folder: Path) -> str:
    shutil.rmtree(folder)
    return f"{folder}: no such folder"


def _truncate(folder: Path) -> str:
    (weights,) = (folder / "vae").glob("*.safetensors")
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size - 1)
    return f"{weights}: is truncated"


def _change_the_pipeline(folder: Path) -> str:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "FluxPipeline"}))
    return f"{folder}: is a FluxPipeline"


def _change_the_configuration(folder: Path) -> str:
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"latent_channels": 6}))
    return f"{folder / 'vae'}: the tensor "


@pytest.mark.parametrize(
    "damage", [_remove, _truncate, _change_the_pipeline, _change_the_configuration]
)
def test_a_bad_checkpoint_fails_the_start(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    """Gunicorn exits with its boot error status; one line of the log names the cause."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    _assert_start_fails(tmp_path, damage(folder), MODEL=str(folder))


def test_the_full_model_without_a_gpu_fails_the_start(tmp_path: Path) -> None:
    """A video would take hours on a CPU; nothing is downloaded."""
    reason = "acme/mochi: this model needs a GPU, and torch can't use one: "
    settings = {"MODEL": "acme/mochi", "MODEL_PROFILE": "mochi-1", "CUDA_VISIBLE_DEVICES": ""}
    _assert_start_fails(tmp_path, reason, **settings)


def test_a_missing_lora_fails_the_start(tmp_path: Path) -> None:
    """With its path and the remedy."""
    file = tmp_path / "style.safetensors"
    reason = f"{file}: no such LoRA; correct its path in LORAS, or mount its volume"
    _assert_start_fails(tmp_path, reason, LORAS=f"{file}:0.8")


def _assert_start_fails(tmp_path: Path, reason: str, **settings: str) -> None:
    stack = RunningStack(tmp_path / "stack")
    generate = stack.table["generate-1"]
    stack.table["generate-1"] = replace(generate, env={**generate.env, **settings})
    try:
        # No other server runs, so that no other failure can come first.
        with pytest.raises(AssertionError, match=f"ended with {Arbiter.WORKER_BOOT_ERROR}"):
            stack.start("generate-1")
        lines = stack.log("generate-1").splitlines()
        assert [line for line in lines if reason in line] == [
            line for line in lines if " [error] engine: " in line
        ], lines
        assert sum(reason in line for line in lines) == 1
        assert not any("Traceback" in line for line in lines)
    finally:
        stack.close()
