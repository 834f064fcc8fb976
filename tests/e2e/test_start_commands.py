"""Each image's start command, from a clean folder, with the environment of its manifest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.deployed import DeployedStack, assert_a_video_goes_through


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """All parts, each from a folder that holds what its Dockerfile copies and nothing else."""
    stack = DeployedStack(tmp_path_factory.mktemp("deployed"))
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


def test_a_video_goes_through_the_images_commands(deployed: DeployedStack) -> None:
    """What the images copy is enough, and the manifests' variables configure it."""
    assert_a_video_goes_through(deployed.url, seconds=90)


def test_the_gateway_shows_nothing_but_the_page(deployed: DeployedStack) -> None:
    """What lies beside the page in the image stays there."""
    for path in ("Caddyfile", "Dockerfile", "start.sh", "../LICENSE"):
        assert requests.get(f"{deployed.url}/{path}", timeout=10).status_code == 404
