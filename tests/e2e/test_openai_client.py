"""The official client, unchanged but for its base URL."""

from __future__ import annotations

import hashlib
import io

import av
import openai
import pytest
from openai import OpenAI

from tests.harness import RunningStack


@pytest.fixture
def client(kinora: RunningStack) -> OpenAI:
    """As a program written for the OpenAI Videos API makes it."""
    return OpenAI(base_url=f"{kinora.url}/v1", api_key="any", max_retries=0)


def test_create_poll_list_download_and_delete(client: OpenAI) -> None:
    """The whole way of a program that was written for another server."""
    video = client.videos.create_and_poll(model="sora-2", prompt="a red circle moving right")
    assert (video.status, video.progress) == ("completed", 100)
    assert video.size == "96x64"  # type: ignore[comparison-overlap]  # the client lists OpenAI's own
    assert video.seconds == "2"
    listed = [item.id for item in client.videos.list(limit=1)]
    assert video.id in listed, "the pages are walked through to the end"
    content = client.videos.download_content(video.id).read()
    output = (video.model_extra or {})["output"]
    assert hashlib.sha256(content).hexdigest() == output["sha256"]
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 96, 64)
        assert sum(1 for _ in container.decode(video=0)) == output["frames"] == 25
    thumbnail = client.videos.download_content(video.id, variant="thumbnail").read()
    assert thumbnail.startswith(b"\xff\xd8"), "a JPEG"
    assert client.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)
    with pytest.raises(openai.NotFoundError):
        client.videos.download_content(video.id)


def test_errors_are_the_clients_own_classes(client: OpenAI) -> None:
    """A program's `except` clauses go on working, and the field is named."""
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.create(prompt="x", extra_body={"num_frames": 8})
    assert error.value.param == "num_frames"
    assert "Nearest: 7 or 13" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.create(prompt="x", size="1280x720")
    assert error.value.param == "size"
