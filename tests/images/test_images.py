"""Every image is built and run: `make test-images`. Minutes, and root."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from local.processes import Process
from tests.deployed import PARTS, DeployedStack, assert_a_video_goes_through
from tests.images.builder import Buildah, missing_programs

pytestmark = [pytest.mark.images, pytest.mark.timeout(3600)]

# Nothing of these is needed to run, and much of it to break in.
BUILD_TOOLS = ("pip", "gcc", "cc", "g++", "make", "git", "ld", "curl", "wget")


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """Every image, built from one base, with its size on the terminal."""
    assert missing_programs() == [], f"`make test-images` needs {missing_programs()}"
    builder = Buildah(tmp_path_factory.mktemp("images"))
    builder.make_base()
    return builder


@pytest.fixture(scope="module")
def images(buildah: Buildah) -> dict[str, str]:
    """The name of each part's image."""
    return {part: buildah.build(part) for part in PARTS}


class ContainerStack(DeployedStack):
    """Local servers, and every other part in a container of its image."""

    def __init__(self, folder: Path, buildah: Buildah, images: Mapping[str, str]) -> None:
        """Nothing is started yet."""
        self._buildah = buildah
        self._images = images
        self.roots: dict[str, Path] = {}
        super().__init__(folder)

    def deployed(self, process: Process, part: str) -> Process:
        """The process as its image's own start command, as its image's user."""
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
    """All containers, with the environment that the manifests give them."""
    stack = ContainerStack(tmp_path_factory.mktemp("containers"), buildah, images)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


def test_sizes(
    buildah: Buildah, images: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each image has been built; how large it is stands on the terminal."""
    with capsys.disabled():
        rows = [f"| {part} | {buildah.size(name)} |" for part, name in images.items()]
        table = "\n".join(["| Image | Size, base and all |", "|---|---|", *rows])
        print(f"\n\n{table}")  # noqa: T201 - for whoever runs this tier


def test_a_video_goes_through_the_containers(running: ContainerStack) -> None:
    """Every image has what its part needs, and its user may do what it must."""
    assert_a_video_goes_through(running.url, seconds=180)


def test_nothing_is_written_but_to_volumes(running: ContainerStack) -> None:
    """Their root file systems may be read-only: after a video, nothing of theirs lies there."""
    for name, root in running.roots.items():
        written = [
            path
            for path in root.rglob("*")
            if not path.is_symlink() and path.lstat().st_uid == 10001
        ]
        outside = [p for p in written if p.relative_to(root).parts[0] not in {"tmp", "dev", "proc"}]
        assert outside == [], name


def test_the_images_are_fit_for_a_cluster(buildah: Buildah, images: dict[str, str]) -> None:
    """Not root, no tools to build or fetch with, nothing that only tests need."""
    for part, name in images.items():
        _, folder, user = buildah.start_command(name)
        assert user == "10001:10001", part
        container, root = buildah.container(name)
        programs = [root / d / tool for d in ("usr/bin", "usr/local/bin", "opt/kinora/bin")
                    for tool in BUILD_TOOLS]  # fmt: skip
        assert [path for path in programs if path.exists()] == [], part
        app = root / folder.lstrip("/")
        assert not (app / "functions" / "shared" / "testing").exists()
        others = {p for p in PARTS if (app / "functions" / p).is_dir()}
        assert others <= {part}
        buildah("rm", container)
