"""Every image is built and run: `make test-images`. Takes minutes, and root."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from local.processes import Process
from tests.dockerfiles import copy_into
from tests.images.builder import Buildah, missing_programs
from tests.manifest_stack import PARTS, ManifestStack, assert_a_video_goes_through

pytestmark = [pytest.mark.images, pytest.mark.time_limit(3600)]

# Not needed at run time, and useful to an intruder.
BUILD_TOOLS = ("pip", "gcc", "cc", "g++", "make", "git", "ld", "curl", "wget")


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """The builder, with a base image for every other."""
    assert missing_programs() == [], f"`make test-images` needs {missing_programs()}"
    builder = Buildah(tmp_path_factory.mktemp("images"))
    builder.make_base()
    return builder


@pytest.fixture(scope="module")
def images(buildah: Buildah) -> dict[str, str]:
    """The name of each part's image."""
    return {part: buildah.build(part) for part in PARTS}


class ContainerStack(ManifestStack):
    """Local servers, and every other part in a container of its own image."""

    def __init__(self, folder: Path, buildah: Buildah, images: Mapping[str, str]) -> None:
        """Nothing is started yet."""
        self._buildah = buildah
        self._images = images
        self.roots: dict[str, Path] = {}
        super().__init__(folder)

    def deployed(self, process: Process, part: str) -> Process:
        """The process with the start command and the user of its image."""
        image = self._images[part]
        entrypoint, _, user = self._buildah.start_command(image)
        container, self.roots[process.name] = self._buildah.container(image)
        env = {n: v for n, v in self.environment_of(process, part).items() if v}
        return replace(
            process,
            argv=self._buildah.run_command(container, user, env, entrypoint),
            env={"PATH": os.environ["PATH"]},
        )

    def with_command(
        self, process: Process, command: list[str], variables: Mapping[str, str]
    ) -> Process:
        """Another start command in the same container."""
        end = process.argv.index("--")
        words = [word for n, v in variables.items() for word in ("--env", f"{n}={v}")]
        argv = [*process.argv[: end - 1], *words, *process.argv[end - 1 : end + 1], *command]
        return replace(process, argv=argv)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, buildah: Buildah, images: dict[str, str]
) -> Iterator[ContainerStack]:
    """All containers, with the environment of their manifests."""
    stack = ContainerStack(tmp_path_factory.mktemp("containers"), buildah, images)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


def test_sizes(
    buildah: Buildah, images: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every image is built; their sizes are printed."""
    with capsys.disabled():
        rows = [f"| {part} | {buildah.size(name)} |" for part, name in images.items()]
        table = "\n".join(["| Image | Size, base and all |", "|---|---|", *rows])
        print(f"\n\n{table}")  # noqa: T201 - for people who run this tier


def test_a_video_is_rendered_by_the_containers(running: ContainerStack) -> None:
    """Every image has what its part needs, and its user has the rights that it needs."""
    assert_a_video_goes_through(running.url, seconds=180)


def test_containers_write_only_to_volumes(running: ContainerStack) -> None:
    """Root file systems can be read-only: after a video, none holds a file of its user."""
    for name, root in running.roots.items():
        written = [
            path
            for path in root.rglob("*")
            if not path.is_symlink() and path.lstat().st_uid == 10001
        ]
        outside = [p for p in written if p.relative_to(root).parts[0] not in {"tmp", "dev", "proc"}]
        assert outside == [], name


def test_images_run_without_root_and_hold_only_their_own_code(
    buildah: Buildah, images: dict[str, str], tmp_path: Path
) -> None:
    """No root, no tools to build or download with, no other function, no tests, no training."""
    for part, name in images.items():
        _, folder, user = buildah.start_command(name)
        assert user == "10001:10001", part
        container, root = buildah.container(name)
        programs = [root / d / tool for d in ("usr/bin", "usr/local/bin", "opt/kinora/bin")
                    for tool in BUILD_TOOLS]  # fmt: skip
        assert [path for path in programs if path.exists()] == [], part
        app = root / folder.lstrip("/")
        copy_into(part, expected := tmp_path / part)
        assert _files(app) == _files(expected), part
        buildah("rm", container)


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
