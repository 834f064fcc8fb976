"""Tests of the official client; `test_official_clients.py` runs them for each version.

They run in a virtual environment with the client and pytest, and without Kinora but for the tests'
time limits: environment variables describe the server.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

import openai
import pytest
from openai import OpenAI

from tests.patience import scaled, wait_until

URL = os.environ["KINORA_URL"]
API_KEY = os.environ["KINORA_API_KEY"]
# Two steps of the demo model take a fraction of a second.
QUICK = {"num_inference_steps": 2}
# The client's types name the sizes of OpenAI's own models only.
SIZE: Any = "96x64"
# The maximum frames and steps, of which the engine runs none while it is stopped.
SLOW = {"num_frames": 61, "num_inference_steps": 200, "size": "160x96"}


def states_of_threads(pid: int) -> set[str]:
    """The states of its threads, as letters in proc(5); T is stopped."""
    stats = [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in stats}


@pytest.fixture
def rendering() -> None:
    """For tests that wait for a video."""


@pytest.fixture(autouse=True)
def _stopped_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing is rendered during other tests: their videos stay as they were requested."""
    if "rendering" in request.fixturenames:
        yield
        return
    engine = int(os.environ["KINORA_ENGINE_PID"])
    os.kill(engine, signal.SIGSTOP)
    yield
    os.kill(engine, signal.SIGCONT)


@pytest.fixture
def client() -> OpenAI:
    """With its default retries: a busy machine may answer 503."""
    return OpenAI(base_url=f"{URL}/v1", api_key=API_KEY)


def fields(video: object) -> dict[str, Any]:
    """Kinora's fields that the client does not know."""
    extra: dict[str, Any] = video.model_extra or {}  # type: ignore[attr-defined]  # a client's model
    return extra


def test_the_version_is_the_expected_one() -> None:
    """The version that the outer test installed."""
    assert openai.__version__ == os.environ["KINORA_CLIENT"]


def test_create_keeps_the_encoding_of_its_version(client: OpenAI) -> None:
    """JSON or a form; numbers, text and pairs keep their types."""
    sent = {"num_frames": 13, "guidance_scale": 1.5, "seed": 7, "metadata": {"team": "a"}}
    raw = client.videos.with_raw_response.create(
        model="sora-2", prompt="a red circle", size=SIZE, extra_body={**QUICK, **sent}
    )
    encoding = raw.http_request.headers["content-type"].partition(";")[0]
    assert encoding == os.environ["KINORA_ENCODING"]
    assert raw.headers["x-request-id"]
    video = raw.parse()
    assert raw.headers["location"] == f"/v1/videos/{video.id}"
    assert (video.object, video.status, video.size) == ("video", "queued", SIZE)
    assert video.model == "mochi-1-demo", "the model that is actually used"
    assert {name: fields(video)[name] for name in sent} == sent
    client.videos.delete(video.id)


@pytest.mark.usefixtures("rendering")
def test_create_poll_and_download(client: OpenAI) -> None:
    """Polling ends when the video completes, and each of its files can be downloaded."""
    video = client.videos.create_and_poll(prompt="a red circle", extra_body=QUICK)
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    again = client.videos.retrieve(video.id)
    assert (again.id, again.status, again.seconds) == (video.id, "completed", "2")
    content = client.videos.download_content(video.id).read()
    assert content[4:8] == b"ftyp", "an mp4"
    assert hashlib.sha256(content).hexdigest() == fields(again)["output"]["sha256"]
    sizes = set()
    for variant in ("thumbnail", "spritesheet"):
        image = client.videos.download_content(video.id, variant=variant).read()
        assert image.startswith(b"\xff\xd8"), "a JPEG"
        sizes.add(len(image))
    assert len(sizes) == 2, "they are different images"
    client.videos.delete(video.id)


def test_a_list_is_paged_to_its_end(client: OpenAI) -> None:
    """Over more than two pages, in both orders, and with Kinora's filters."""
    pairs = {"walk": uuid.uuid4().hex}
    created = [
        client.videos.create(prompt="a red circle", extra_body={**SLOW, "metadata": pairs}).id
        for _ in range(5)
    ]
    orders: list[tuple[Literal["asc", "desc"], list[str]]] = [
        ("asc", created),
        ("desc", created[::-1]),
    ]
    for order, expected in orders:
        found = [video.id for video in client.videos.list(limit=2, order=order)]
        assert [video_id for video_id in found if video_id in created] == expected
    other = client.videos.create(prompt="a red circle", extra_body=SLOW).id
    query = {f"metadata[{name}]": text for name, text in pairs.items()}
    walked = [video.id for video in client.videos.list(limit=2, order="asc", extra_query=query)]
    assert walked == created
    for video_id in (*created, other):
        client.videos.delete(video_id)


def test_remix_copies_everything_but_the_prompt(client: OpenAI) -> None:
    """A new video, which names its source."""
    first = client.videos.create(prompt="a red circle", extra_body={**SLOW, "seed": 9})
    remix = client.videos.remix(first.id, prompt="a blue square")
    assert (remix.prompt, remix.size) == ("a blue square", "160x96")
    assert remix.remixed_from_video_id == first.id
    assert remix.id != first.id
    for name in ("seed", "num_frames", "num_inference_steps"):
        assert fields(remix)[name] == fields(first)[name]
    for video in (first, remix):
        client.videos.delete(video.id)


def test_a_deleted_video_is_gone(client: OpenAI) -> None:
    """The response confirms it, and every other call gets 404."""
    video = client.videos.create(prompt="a red circle", extra_body=SLOW)
    deleted = client.videos.delete(video.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (video.id, True, "video.deleted")
    calls: list[Callable[[], object]] = [
        lambda: client.videos.retrieve(video.id),
        lambda: client.videos.download_content(video.id),
        lambda: client.videos.remix(video.id, prompt="x"),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError) as error:
            call()
        assert error.value.code == "video_not_found"


def test_400_names_the_field_and_the_remedy(client: OpenAI) -> None:
    """In `param` and the message of BadRequestError."""
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.create(prompt="x", extra_body={"num_frames": 8})
    assert error.value.param == "num_frames"
    assert "Nearest: 7 or 13" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.create(prompt="x", size="1280x720")
    assert error.value.param == "size"


def test_401_is_an_authentication_error() -> None:
    """For an unknown API key."""
    unknown = OpenAI(base_url=f"{URL}/v1", api_key="unknown", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as error:
        unknown.videos.list()
    assert error.value.code == "invalid_api_key"


def test_404_has_a_code_and_is_not_retried(client: OpenAI) -> None:
    """For an unknown video, and for content that is not ready yet."""
    with pytest.raises(openai.NotFoundError) as error:
        client.videos.retrieve("video_unknown")
    assert error.value.code == "video_not_found"
    assert error.value.request.headers["x-stainless-retry-count"] == "0"
    waiting = client.videos.create(prompt="a red circle", extra_body=SLOW)
    with pytest.raises(openai.NotFoundError) as error:
        client.videos.download_content(waiting.id)
    assert error.value.code == "video_not_ready"
    client.videos.delete(waiting.id)


def test_422_for_an_idempotency_key_of_another_request(client: OpenAI) -> None:
    """The same request returns the same video; another one is refused."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}

    def create(prompt: str) -> str:
        return client.videos.create(prompt=prompt, extra_body=SLOW, extra_headers=headers).id

    first = create("a red circle")
    assert create("a red circle") == first
    with pytest.raises(openai.UnprocessableEntityError) as error:
        create("a blue square")
    assert error.value.code == "idempotency_key_reused"
    client.videos.delete(first)


def test_429_when_the_queue_is_full() -> None:
    """RateLimitError with a Retry-After that the client respects."""
    url = os.environ["KINORA_FULL_URL"]
    client = OpenAI(base_url=f"{url}/v1", api_key=API_KEY, max_retries=0)
    created: list[str] = []

    def refused() -> openai.RateLimitError | None:
        try:
            created.append(client.videos.create(prompt="a red circle", extra_body=SLOW).id)
        except openai.RateLimitError as error:
            return error
        return None

    error = wait_until(refused, seconds=20, what="the queue is full")
    assert error.code == "queue_full"
    assert 0 < int(error.response.headers["retry-after"]) <= 120
    for video_id in created:
        client.videos.delete(video_id)


@pytest.mark.usefixtures("rendering")
def test_the_client_unwraps_a_webhook(client: OpenAI) -> None:
    """The signature is valid, and the event names the video; a changed byte is detected."""
    video = client.videos.create_and_poll(prompt="a red circle", extra_body=QUICK)
    mailbox = f"{os.environ['KINORA_MAILBOX']}/{video.id}"
    with urlopen(mailbox, timeout=scaled(60)) as answer:  # noqa: S310 - the outer test's own server
        delivery = json.load(answer)
    secret = os.environ["KINORA_WEBHOOK_SECRET"]
    event: Any = client.webhooks.unwrap(delivery["body"], delivery["headers"], secret=secret)
    assert (event.object, event.type) == ("event", "video.completed")
    assert event.data.id == video.id
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(delivery["body"] + " ", delivery["headers"], secret=secret)
    client.videos.delete(video.id)


def test_503_while_nats_does_not_answer(client: OpenAI) -> None:
    """InternalServerError with the status 503; afterwards, everything works again."""
    nats = int(os.environ["KINORA_NATS_PID"])
    video = client.videos.create(prompt="a red circle", extra_body=SLOW)
    once = client.with_options(max_retries=0)
    calls: list[Callable[[], object]] = [
        lambda: once.videos.retrieve(video.id),
        lambda: once.videos.create(prompt="a red circle"),
    ]
    os.kill(nats, signal.SIGSTOP)
    try:
        # The signal stops each thread when it next runs; on a busy machine, others still respond.
        wait_until(lambda: states_of_threads(nats) == {"T"}, seconds=10, what="NATS has stopped")
        for call in calls:
            with pytest.raises(openai.InternalServerError) as error:
                call()
            assert error.value.status_code == 503
            assert int(error.value.response.headers["retry-after"]) > 0
    finally:
        os.kill(nats, signal.SIGCONT)

    def deleted() -> bool:
        try:
            return client.videos.delete(video.id).deleted
        except openai.InternalServerError:
            return False

    wait_until(deleted, seconds=30, what="NATS responds again")
