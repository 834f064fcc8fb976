"""A checkpoint is validated before it is loaded; the error is one line and names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from functions.generate.engine.model.checkpoint import CheckpointError, locate_checkpoint
from tests.demo_engine import DEMO

DIT = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the demo checkpoint that a test may damage."""
    return Path(shutil.copytree(DEMO, tmp_path / "model"))


def refusal(model: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        locate_checkpoint(str(model))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_demo_checkpoint_is_found() -> None:
    """The checkpoint in the repository is complete, and small enough to be there."""
    found = locate_checkpoint(str(DEMO))
    assert found.folder == DEMO
    assert {part: [path.name for path in files] for part, files in found.weights.items()} == {
        "transformer": ["diffusion_pytorch_model.safetensors"],
        "text_encoder": ["model.safetensors"],
        "vae": ["diffusion_pytorch_model.safetensors"],
    }
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) <= 8_000_000


def test_the_demo_checkpoint_contains_no_path() -> None:
    """Its configuration does not reveal where it was trained."""
    for path in DEMO.rglob("*.json"):
        assert "_name_or_path" not in path.read_text()


@pytest.mark.parametrize("model", ["/no/such/folder", "some/missing/folder", "./missing", "bare"])
def test_a_missing_folder_is_named(model: str) -> None:
    """A name that can only be a folder is not looked up on the hub."""
    message = refusal(model)
    assert message.startswith(f"{model}: no such folder")


def test_an_empty_folder_lacks_its_index(tmp_path: Path) -> None:
    """A folder without model_index.json is not a checkpoint."""
    assert refusal(tmp_path) == f"{tmp_path / 'model_index.json'}: is missing"


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_an_unreadable_index_is_named(copy: Path, content: str) -> None:
    """Whether it is not JSON or not an object."""
    (copy / "model_index.json").write_text(content)
    assert "model_index.json: is not" in refusal(copy)


def test_another_pipeline_is_refused(copy: Path) -> None:
    """The error names the pipeline that was found."""
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "FluxPipeline"}))
    assert "is a FluxPipeline, but this engine only runs a MochiPipeline" in refusal(copy)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 40_000, -1])
def test_truncated_weights_are_named(copy: Path, kept: int) -> None:
    """A copy truncated anywhere is detected by its length."""
    whole = (copy / DIT).read_bytes()
    (copy / DIT).write_bytes(whole[:kept])
    message = refusal(copy)
    assert message.startswith(f"{copy / DIT}: ")
    assert "truncated" in message


def test_weights_with_an_invalid_header_are_refused(copy: Path) -> None:
    """The header of a safetensors file must list its tensors."""
    (copy / DIT).write_bytes((2).to_bytes(8, "little") + b"{}")
    assert "no readable safetensors header" in refusal(copy)


def test_pickled_weights_are_refused(copy: Path) -> None:
    """Only safetensors are loaded, because loading a pickle runs code."""
    (copy / DIT).rename(copy / "transformer" / "diffusion_pytorch_model.bin")
    assert refusal(copy) == f"{copy / 'transformer'}: has no *.safetensors file"


def test_a_missing_shard_is_named(copy: Path) -> None:
    """Every file that an index of shards names must exist."""
    index = {"weight_map": {"a": Path(DIT).name, "b": "shard-2.safetensors"}}
    (copy / f"{DIT}.index.json").write_text(json.dumps(index))
    assert refusal(copy) == f"{copy / 'transformer' / 'shard-2.safetensors'}: is missing"


def test_an_index_without_shards_is_refused(copy: Path) -> None:
    """There would be nothing to load."""
    index = copy / f"{DIT}.index.json"
    index.write_text("{}")
    assert refusal(copy) == f"{index}: names no file"


def test_shards_of_another_revision_are_ignored(copy: Path) -> None:
    """Only the files that the index names are read."""
    index = {"weight_map": {"a": Path(DIT).name}}
    (copy / f"{DIT}.index.json").write_text(json.dumps(index))
    (copy / "transformer" / "older-shard.safetensors").write_bytes(b"old")
    assert locate_checkpoint(str(copy)).weights["transformer"] == (copy / DIT,)


def test_a_bf16_variant_is_preferred(copy: Path) -> None:
    """Of two sets of weights, as genmo publishes them, the smaller one is loaded."""
    smaller = copy / "transformer" / "diffusion_pytorch_model.bf16.safetensors"
    smaller.write_bytes((copy / DIT).read_bytes())
    assert locate_checkpoint(str(copy)).weights["transformer"] == (smaller,)


def test_a_revision_identifies_the_weights(copy: Path) -> None:
    """A copy has the same revision; one changed byte changes it."""
    before = locate_checkpoint(str(copy)).revision
    assert before == locate_checkpoint(str(DEMO)).revision
    changed = bytearray((copy / DIT).read_bytes())
    changed[-1] ^= 1
    (copy / DIT).write_bytes(changed)
    assert locate_checkpoint(str(copy)).revision != before


def test_the_revision_of_a_download_is_its_commit(tmp_path: Path) -> None:
    """Folders in the hub's cache are named by commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = shutil.copytree(DEMO, tmp_path / "snapshots" / commit)
    assert locate_checkpoint(str(folder)).revision == commit
