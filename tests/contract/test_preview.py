"""`GET /v1/videos/{id}/content?variant=preview`: the newest picture of a video in progress."""

from __future__ import annotations

import pytest

from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Cancelled, EventName, Failed, Failure, Started
from functions.shared.video_objects import attempt_prefix
from tests.contract.api import Api, complete, error_of, preview
from tests.unit.events import CREATED, progressed, publish, put_request, started

URL = "/v1/videos/v1/content?variant=preview"


def test_a_preview_is_served_while_the_video_is_made(api: Api) -> None:
    """Not cached, but with an ETag, so that the same picture is not sent twice."""
    key = preview(api)
    found = api.status.get(URL)
    assert (found.status_code, found.data) == (200, b"picture")
    assert found.headers["Content-Type"] == "image/jpeg"
    assert found.headers["Cache-Control"] == "no-store"
    assert "-preview.jpg" in found.headers["Content-Disposition"]
    etag = found.headers["ETag"]
    same = api.status.get(URL, headers={"If-None-Match": etag})
    assert (same.status_code, same.data) == (304, b"")
    assert api.status.get(URL, headers={"If-Match": '"other"'}).status_code == 412
    head = api.status.head(URL)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", etag)
    prefix = next(name for name in api.store.files if name.startswith(key.object_prefix))
    api.store.files[prefix] = (b"newer picture", "image/jpeg")
    newer = api.status.get(URL, headers={"If-None-Match": etag})
    assert (newer.status_code, newer.data) == (200, b"newer picture")


def test_a_range_of_a_preview_is_ignored(api: Api) -> None:
    """The rest might be that of another picture (RFC 9110, section 14.2 allows it)."""
    preview(api)
    whole = api.status.get(URL, headers={"Range": "bytes=2-3"})
    assert (whole.status_code, whole.data) == (200, b"picture")
    assert whole.headers["Accept-Ranges"] == "none"


def test_the_number_of_the_preview_is_in_the_video(api: Api) -> None:
    """Alone and in the list; without a preview, and once the video has ended, it is null."""
    preview(api, number=3)
    put_request(api.bus, VideoKey("default", "waiting"))
    complete(api, "done")
    videos = {video["id"]: video for video in api.status.get("/v1/videos").get_json()["data"]}
    assert {name: video["preview"] for name, video in videos.items()} == {
        "v1": 3,
        "waiting": None,
        "done": None,
    }
    assert api.status.get("/v1/videos/v1").get_json()["preview"] == 3


def test_without_a_preview_the_error_says_why(api: Api) -> None:
    """404, in the API's form: not yet, or not any more, and what there is instead."""
    ledger = Ledger(api.bus, takeover_grace=0)
    put_request(api.bus, VideoKey("default", "waiting"))
    key = VideoKey("default", "started")
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    complete(api, "done")
    stopped = Cancelled(created_at=CREATED)
    publish(ledger, Snapshot(VideoKey("default", "stopped")), EventName.CANCELLED, stopped)
    failed = Failed(created_at=CREATED, error=Failure(code="x", message="It broke."))
    publish(ledger, Snapshot(VideoKey("default", "broken")), EventName.FAILED, failed)
    for name, code, words in (
        ("waiting", "no_preview", "no preview yet"),
        ("started", "no_preview", "no preview yet"),
        ("done", "no_preview", "use variant=thumbnail"),
        ("stopped", "no_preview", "was not completed"),
        ("broken", "no_preview", "was not completed"),
        ("unknown", "video_not_found", "No such video"),
    ):
        answer = api.status.get(f"/v1/videos/{name}/content?variant=preview")
        assert (answer.status_code, error_of(answer)["code"]) == (404, code), name
        assert words in error_of(answer)["message"], name


def test_a_preview_of_an_earlier_attempt_is_not_shown(api: Api) -> None:
    """Its worker may go on for a while, and may even store another one."""
    key = preview(api)
    ledger = Ledger(api.bus, takeover_grace=0)
    second = started(key, attempt=2, lease="1" * 32)
    state = publish(ledger, ledger.read(key), EventName.STARTED, second)
    assert error_of(api.status.get(URL))["code"] == "no_preview"
    assert api.status.get("/v1/videos/v1").get_json()["preview"] is None
    prefix = attempt_prefix(key, 2, second.lease.id)
    api.store.files[f"{prefix}preview.jpg"] = (b"second", "image/jpeg")
    publish(ledger, state, EventName.PROGRESSED, progressed(second, preview=1))
    assert api.status.get(URL).data == b"second"


def test_a_stale_replica_shows_no_preview_of_a_video_that_has_ended(api: Api) -> None:
    """Its worker has deleted the picture; the leader knows why."""
    key = preview(api)
    api.bus.lag()
    ledger = Ledger(api.bus, takeover_grace=0)
    before = ledger.read(key)
    assert isinstance(before.data, Started)
    publish(ledger, before, EventName.CANCELLED, Cancelled(created_at=CREATED))
    api.store.files.clear()
    assert "was not completed" in error_of(api.status.get(URL))["message"]


def test_an_outage_of_the_store_is_not_taken_for_no_preview(api: Api) -> None:
    """503: the caller tries again."""
    preview(api)
    api.store.unavailable = True
    assert api.status.get(URL).status_code == 503


@pytest.mark.parametrize("variant", ["video", "thumbnail", "spritesheet"])
def test_a_preview_is_not_the_video(api: Api, variant: str) -> None:
    """While it is made, there is nothing to download."""
    preview(api)
    answer = api.status.get(f"/v1/videos/v1/content?variant={variant}")
    assert error_of(answer)["code"] == "video_not_ready"
