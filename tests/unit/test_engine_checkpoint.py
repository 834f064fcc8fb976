"""Finding a checkpoint: what is wrong with it is said in one line, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from functions.generate.engine.model.checkpoint import CheckpointError, locate
from local.stack import DEFAULT_MODEL, ROOT

DEMO = ROOT / DEFAULT_MODEL
DIT = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the demo checkpoint that a test may damage."""
    return Path(shutil.copytree(DEMO, tmp_path / "model"))


def refusal(model: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        locate(str(model))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_demo_checkpoint_is_found() -> None:
    """The checkpoint in the repository is whole, and small enough to be there."""
    found = locate(str(DEMO))
    assert found.folder == DEMO
    assert found.force_zeros_for_empty_prompt
    assert {part: [path.name for path in files] for part, files in found.weights.items()} == {
        "transformer": ["diffusion_pytorch_model.safetensors"],
        "text_encoder": ["model.safetensors"],
        "vae": ["diffusion_pytorch_model.safetensors"],
    }
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) <= 8_000_000


def test_the_demo_checkpoint_names_no_path() -> None:
    """Nothing in its configuration tells where it was made."""
    for path in DEMO.rglob("*.json"):
        assert "_name_or_path" not in path.read_text()


@pytest.mark.parametrize("model", ["/no/such/folder", "some/missing/folder", "./missing", "bare"])
def test_a_missing_folder_is_named(model: str) -> None:
    """What can only be a folder is not looked for on the hub."""
    message = refusal(model)
    assert message.startswith(f"{model}: no such folder")


def test_an_empty_folder_lacks_its_index(tmp_path: Path) -> None:
    """A folder without model_index.json is no checkpoint."""
    assert refusal(tmp_path) == f"{tmp_path / 'model_index.json'}: is missing"


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_an_index_that_can_not_be_read(copy: Path, content: str) -> None:
    """A broken index is named."""
    (copy / "model_index.json").write_text(content)
    assert "model_index.json: is not" in refusal(copy)


def test_another_pipeline_is_refused(copy: Path) -> None:
    """Only Mochi runs here, and the message names what was found."""
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "FluxPipeline"}))
    assert "is a FluxPipeline, and this engine runs a MochiPipeline" in refusal(copy)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 40_000, -1])
def test_truncated_weights_are_named(copy: Path, kept: int) -> None:
    """A copy that was cut off anywhere is found by its length."""
    whole = (copy / DIT).read_bytes()
    (copy / DIT).write_bytes(whole[:kept])
    message = refusal(copy)
    assert message.startswith(f"{copy / DIT}: ")
    assert "cut off" in message


def test_weights_that_are_no_safetensors(copy: Path) -> None:
    """A pickle renamed to safetensors is not read."""
    (copy / DIT).write_bytes((2).to_bytes(8, "little") + b"{}")
    assert "no readable safetensors header" in refusal(copy)


def test_weights_without_safetensors(copy: Path) -> None:
    """Pickled weights are not loaded."""
    (copy / DIT).rename(copy / "transformer" / "diffusion_pytorch_model.bin")
    assert refusal(copy) == f"{copy / 'transformer'}: holds no *.safetensors file"


def test_a_missing_shard_is_named(copy: Path) -> None:
    """Every file that an index of shards names must be there."""
    index = {"weight_map": {"a": Path(DIT).name, "b": "shard-2.safetensors"}}
    (copy / f"{DIT}.index.json").write_text(json.dumps(index))
    assert refusal(copy) == f"{copy / 'transformer' / 'shard-2.safetensors'}: is missing"


def test_an_index_that_names_nothing_is_refused(copy: Path) -> None:
    """There would be nothing to load."""
    index = copy / f"{DIT}.index.json"
    index.write_text("{}")
    assert refusal(copy) == f"{index}: names no file"


def test_shards_of_another_revision_are_left_alone(copy: Path) -> None:
    """What the index names is read, and nothing that lies beside it."""
    index = {"weight_map": {"a": Path(DIT).name}}
    (copy / f"{DIT}.index.json").write_text(json.dumps(index))
    (copy / "transformer" / "a-shard-of-before.safetensors").write_bytes(b"old")
    assert locate(str(copy)).weights["transformer"] == (copy / DIT,)


def test_a_bf16_variant_is_preferred(copy: Path) -> None:
    """A folder with two sets of weights, as genmo publishes them, is loaded from the smaller."""
    smaller = copy / "transformer" / "diffusion_pytorch_model.bf16.safetensors"
    smaller.write_bytes((copy / DIT).read_bytes())
    assert locate(str(copy)).weights["transformer"] == (smaller,)


def test_a_revision_tells_weights_apart(copy: Path) -> None:
    """Equal content has an equal revision wherever it lies; one changed byte changes it."""
    before = locate(str(copy)).revision
    assert before == locate(str(DEMO)).revision
    changed = bytearray((copy / DIT).read_bytes())
    changed[-1] ^= 1
    (copy / DIT).write_bytes(changed)
    assert locate(str(copy)).revision != before


def test_a_download_is_named_by_its_commit(tmp_path: Path) -> None:
    """A folder of the hub's cache is its commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = shutil.copytree(DEMO, tmp_path / "snapshots" / commit)
    assert locate(str(folder)).revision == commit
