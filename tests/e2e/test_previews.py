"""A video is seen while it is being made, through the whole stack."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import pytest
import requests
from PIL import Image

from functions.shared.storage import S3Store
from tests.e2e.client import Client
from tests.harness import RunningStack
from tests.patience import scaled, wait_until

# Half a minute of a core: long enough for previews, which take a hundredth of that at most.
LONG: Final[dict[str, Any]] = {"size": "160x128", "num_frames": 61, "num_inference_steps": 200}


@pytest.fixture
def store(kinora: RunningStack, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """The bucket of the stack."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", kinora.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", kinora.credentials.secret_key)
    endpoint = f"http://127.0.0.1:{kinora.stack.ports['s3']}"
    return S3Store("kinora", endpoint=endpoint, region="us-east-1")


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_video_that_goes_wrong_is_seen_early_and_stopped(
    client: Client, store: S3Store, end: str
) -> None:
    """The picture is there long before the video would be, and is removed with it."""
    video_id = client.create(prompt="a red circle moving right", **LONG)["id"]
    url = f"{client.url}/v1/videos/{video_id}/content?variant=preview"
    early = requests.get(url, timeout=scaled(20))
    assert (early.status_code, early.json()["error"]["code"]) == (404, "no_preview")

    def previewed() -> dict[str, Any] | None:
        video = client.get(video_id)
        assert video["status"] in {"queued", "in_progress"}
        return video if video["preview"] else None

    video = wait_until(previewed, seconds=60, what="a preview")
    assert video["progress"] < 90
    found = requests.get(url, timeout=scaled(20))
    assert (found.status_code, found.headers["Cache-Control"]) == (200, "no-store")
    picture = Image.open(BytesIO(found.content))
    assert (picture.format, picture.size) == ("JPEG", (160, 128))
    getattr(client, end)(video_id)
    wait_until(
        lambda: not list(store.list_objects(f"default/{video_id}/")),
        seconds=30,
        what="its files are removed",
    )
    gone = requests.get(url, timeout=scaled(20))
    words = "was not completed" if end == "cancel" else "No such video"
    assert gone.status_code == 404
    assert words in gone.json()["error"]["message"]
