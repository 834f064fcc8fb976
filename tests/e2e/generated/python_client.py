"""What a user of the generated Python client does; `test_generated_clients.py` runs it.

The first argument is the gateway's URL.
"""

from __future__ import annotations

import sys
import time
import uuid

from kinora_client import Client
from kinora_client.api.models import list_models
from kinora_client.api.service import get_health
from kinora_client.api.videos import (
    create_video,
    delete_video,
    get_video,
    get_video_content,
    list_videos,
    remix_video,
)
from kinora_client.models import (
    CreateVideo,
    CreateVideoMultipart,
    CreateVideoMultipartMetadata,
    CreateVideoUrlEncoded,
    ErrorResponse,
    GetVideoContentVariant,
    Health,
    ModelList,
    RemixVideo,
    State,
    Video,
    VideoList,
)
from kinora_client.types import UNSET, Unset

PROMPT = "a red circle moving right"
# Fields that exclude others: a default beside them would be an error, or change the length.
SIZE, STEPS = "64x96", 2


def created(
    client: Client, body: CreateVideo | CreateVideoMultipart | CreateVideoUrlEncoded
) -> Video:
    """The new video, which has what `body` asked for."""
    video = create_video.sync(client=client, body=body)
    assert isinstance(video, Video), video
    assert (video.size, video.num_inference_steps) == (SIZE, STEPS)
    return video


def completed(client: Client, video_id: str) -> Video:
    """The video once it is completed; the server says how often to ask."""
    while True:
        response = get_video.sync_detailed(video_id, client=client)
        video = response.parsed
        assert isinstance(video, Video), video
        if video.status in (State.COMPLETED, State.FAILED):
            assert video.status is State.COMPLETED, video.error
            return video
        time.sleep(int(response.headers["openai-poll-after-ms"]) / 1000)


def check_files(client: Client, video: Video) -> None:
    """Each file can be downloaded, and is what its variant promises."""
    for variant, start, offset in (
        (GetVideoContentVariant.VIDEO, b"ftyp", 4),
        (GetVideoContentVariant.THUMBNAIL, b"\xff\xd8", 0),
    ):
        response = get_video_content.sync_detailed(video.id, client=client, variant=variant)
        file = response.parsed
        assert file is not None, response
        assert not isinstance(file, ErrorResponse), file
        content = file.payload.read()
        assert content[offset:].startswith(start), content[:16]


def check_list(client: Client, *expected: Video) -> None:
    """The list has the newest videos first, one a page."""
    after: str | Unset = UNSET
    for video in reversed(expected):
        page = list_videos.sync(client=client, limit=1, after=after)
        assert isinstance(page, VideoList), page
        assert [found.id for found in page.data] == [video.id]
        after = page.last_id or UNSET


def main(url: str) -> None:
    """Create by each encoding, poll, list, download, remix, delete, and make a mistake."""
    client = Client(base_url=url, raise_on_unexpected_status=True)
    assert isinstance(get_health.sync(client=client), Health)
    models = list_models.sync(client=client)
    assert isinstance(models, ModelList), models
    assert models.data[0].demo
    pairs = CreateVideoMultipartMetadata.from_dict({"run": uuid.uuid4().hex})
    first = created(client, CreateVideo(prompt=PROMPT, size=SIZE, num_inference_steps=STEPS))
    second = created(
        client,
        CreateVideoMultipart(prompt=PROMPT, size=SIZE, num_inference_steps=STEPS, metadata=pairs),
    )
    third = created(
        client, CreateVideoUrlEncoded(prompt=PROMPT, width=64, height=96, num_inference_steps=STEPS)
    )
    assert second.metadata.to_dict() == pairs.to_dict()
    remix = remix_video.sync(first.id, client=client, body=RemixVideo(prompt="a blue square"))
    assert isinstance(remix, Video), remix
    assert (remix.seed, remix.remixed_from_video_id) == (first.seed, first.id)
    check_files(client, completed(client, first.id))
    check_list(client, first, second, third, remix)
    wrong = create_video.sync(client=client, body=CreateVideo(prompt=PROMPT, width=1))
    assert isinstance(wrong, ErrorResponse), wrong
    assert wrong.error.param == "width", wrong
    for video_id in (first.id, second.id, third.id, remix.id):
        delete_video.sync_detailed(video_id, client=client)
    gone = get_video.sync(first.id, client=client)
    assert isinstance(gone, ErrorResponse), gone


if __name__ == "__main__":
    main(sys.argv[1])
