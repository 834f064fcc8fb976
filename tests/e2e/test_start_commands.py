"""Each image's start command, in a clean folder, with the environment of its manifest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.manifest_stack import ManifestStack, assert_a_video_goes_through
from tests.patience import scaled


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManifestStack]:
    """All functions and the gateway, each in a folder with only what its Dockerfile copies."""
    stack = ManifestStack(tmp_path_factory.mktemp("deployed"))
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


def test_the_images_start_commands_render_a_video(deployed: ManifestStack) -> None:
    """The images copy all files that they need, and the manifests configure them."""
    assert_a_video_goes_through(deployed.url, seconds=90)


def test_the_gateway_serves_only_the_page(deployed: ManifestStack) -> None:
    """Other files in its image are not found."""
    for path in ("Caddyfile", "Dockerfile", "start.sh", "../LICENSE"):
        assert requests.get(f"{deployed.url}/{path}", timeout=scaled(10)).status_code == 404
