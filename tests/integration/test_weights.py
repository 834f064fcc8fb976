"""Downloading weights, from a server with the hub's API."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from functions.generate.engine.model.checkpoint import CheckpointError, locate_checkpoint
from functions.generate.engine.model.checksums import verify_checksums
from functions.generate.weights import COMPILED
from local.stack import ROOT
from tests.dockerfiles import copy_into, read_image
from tests.hub import Hub, HubHandler
from tests.manifests import (
    EACH_GPU_OVERLAY,
    WEIGHTS,
    container_of,
    containers_of,
    environment,
    expanded,
    overlay,
    pod_templates,
)
from tests.patience import scaled

CHECKPOINT = ROOT / "functions" / "generate" / "demo" / "checkpoint"
LARGE = "transformer/diffusion_pytorch_model.safetensors"
# A partial download is written in blocks of 10 MiB, so this takes several.
HUGE = "tokenizer/huge.bin"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """The demo checkpoint as a repository, with files that the engine does not read."""
    state = Hub()
    for path in sorted(CHECKPOINT.rglob("*")):
        if path.is_file():
            state.files[path.relative_to(CHECKPOINT).as_posix()] = path.read_bytes()
    state.files[HUGE] = random.Random(0).randbytes(24 << 20)
    state.files["dit.safetensors"] = b"the same in another format"
    state.files["text_encoder/pytorch_model.bin"] = b"pickled"

    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (HubHandler,), {"hub": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def _fetch(hub: Hub, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "HF_ENDPOINT": hub.url,
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "functions.generate.weights", str(folder)],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=scaled(120),
    )  # fmt: skip


def _tree(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


def _read_by_the_engine(folder: Path) -> set[str]:
    weights = locate_checkpoint(str(folder)).weights.values()
    return {path.relative_to(folder).as_posix() for paths in weights for path in paths}


def test_only_files_that_the_engine_reads_are_downloaded(hub: Hub, tmp_path: Path) -> None:
    """The folder can be loaded; a second run downloads nothing."""
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert _tree(folder) == set(hub.files) - {"dit.safetensors", "text_encoder/pytorch_model.bin"}
    assert _read_by_the_engine(folder) == _read_by_the_engine(CHECKPOINT)
    before = hub.sent.total()
    assert _fetch(hub, folder).returncode == 0
    assert hub.sent.total() == before


def test_an_interrupted_download_resumes(hub: Hub, tmp_path: Path) -> None:
    """The half that is there is not downloaded again."""
    hub.interrupt = HUGE
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    if done.returncode:  # the Job's next pod
        done = _fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert hub.ranges
    assert int(hub.ranges[0].removeprefix("bytes=").rstrip("-")) > 0
    assert (folder / HUGE).read_bytes() == hub.files[HUGE]


def test_a_file_with_a_wrong_checksum_is_downloaded_again(hub: Hub, tmp_path: Path) -> None:
    """A file that a disk or a proxy has corrupted is replaced."""
    hub.corrupt[LARGE] = 1
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert (folder / LARGE).read_bytes() == hub.files[LARGE]
    assert hub.sent[LARGE] == 2


def test_a_permanently_corrupt_file_fails_the_download(hub: Hub, tmp_path: Path) -> None:
    """The Job fails with the file's name, and no replica accepts the folder as a model."""
    hub.corrupt[LARGE] = 100
    folder = tmp_path / "weights"
    done = _fetch(hub, folder)
    assert done.returncode == 1
    assert LARGE in done.stderr
    assert not (folder / "model_index.json").exists()
    assert not (folder / LARGE).exists()


def test_a_download_that_changed_is_not_loaded(hub: Hub, tmp_path: Path) -> None:
    """A single wrong bit is found before the engine starts, by what the client noted."""
    folder = tmp_path / "weights"
    assert _fetch(hub, folder).returncode == 0
    files = locate_checkpoint(str(folder)).weights["transformer"]
    verify_checksums(folder, files)
    content = (folder / LARGE).read_bytes()
    (folder / LARGE).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="its SHA-256 is not the hub's"):
        verify_checksums(folder, files)


@EACH_GPU_OVERLAY
def test_the_rendered_pod_downloads_what_generate_loads(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    """With its command and variables, in a folder with only what its image copies.

    Its volume is the one that `generate` mounts, and MODEL is the folder that it fills. Run again
    after the next `make deploy`, it downloads nothing.
    """
    pod = RenderedPod(hub, tmp_path, name)
    before = _tree(pod.image)
    first = pod.run()
    assert first.returncode == 0, first.stderr
    assert _tree(pod.image) == before, "the container's file system is read-only"
    objects = overlay(name)
    generate = container_of(objects, "generate")
    mounts = {mount["mountPath"]: mount["name"] for mount in generate["volumeMounts"]}
    assert mounts["/weights"] == "weights"
    assert Path(pod.here(f"/weights/{COMPILED}")).is_dir()
    model = pod.here(environment(objects, generate)["MODEL"])
    assert _read_by_the_engine(Path(model)) == _read_by_the_engine(CHECKPOINT)
    sent = hub.sent.total()
    again = pod.run()
    assert again.returncode == 0, again.stderr
    assert hub.sent.total() == sent


class RenderedPod:
    """The pod of `weights` in an overlay, with this machine's folders as its volumes."""

    def __init__(self, hub: Hub, folder: Path, name: str) -> None:
        objects = overlay(name)
        template = dict(pod_templates(objects))[f"{WEIGHTS[name]}/weights"]
        container = containers_of(template)[0]
        self._folder = folder
        self.image = folder / "image"
        copy_into("generate", self.image)
        for mount in container["volumeMounts"]:
            (folder / mount["mountPath"].lstrip("/")).mkdir()
        # Of the Secret `hub`, both keys are optional, and one is there.
        secrets = {"hub/HF_ENDPOINT": hub.url}
        given = environment(objects, container)
        given = {n: v for n, v in given.items() if not v.startswith("hub/") or v in secrets}
        variables = expanded({**read_image("generate").env, **given}, secrets)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._env = {n: self.here(value) for n, value in variables.items()} | {"PATH": path}
        self._argv = [self.here(word) for word in container["command"]]

    def here(self, text: str) -> str:
        """A path of the container, on this machine."""
        return re.sub(r"^/(?=(weights|tmp)(/|$))", f"{self._folder}/", text)

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run its first container to its end."""
        return subprocess.run(
            self._argv, cwd=self.image, env=self._env,
            capture_output=True, text=True, check=False, timeout=scaled(120),
        )  # fmt: skip
