"""`GET /v1/videos/{id}/content`: whole files, ranges, conditional requests and HEAD."""

from __future__ import annotations

import pytest

from functions.shared.config import Settings
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Cancelled, EventName
from functions.status import app as status_app
from functions.status.app import MAX_DOWNLOADS
from tests.contract.api import Api, complete, error_of, make_api
from tests.unit.events import CREATED, completed, publish, put_request, started


def test_content_is_served_whole_in_ranges_and_conditionally(api: Api) -> None:
    """200, 206 for a range, and 304 if the caller's copy is current."""
    complete(api)
    url = "/v1/videos/v1/content"
    whole = api.status.get(url)
    assert (whole.status_code, whole.data) == (200, b"0123456789")
    assert whole.headers["Content-Type"] == "video/mp4"
    assert whole.headers["Content-Length"] == "10"
    part = api.status.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.data) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    tail = api.status.get(url, headers={"Range": "bytes=-3"})
    assert (tail.status_code, tail.data) == (206, b"789")
    etag = whole.headers["ETag"]
    assert api.status.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert api.status.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    stale = api.status.get(url, headers={"Range": "bytes=2-4", "If-Range": '"other"'})
    assert stale.data == b"0123456789"
    weak = {"If-None-Match": f'"other", W/{etag}'}
    assert api.status.get(url, headers=weak).status_code == 304
    assert api.status.get(url, headers={"If-None-Match": "*"}).status_code == 304
    fresh = api.status.get(url, headers={"Range": "bytes=2-4", "If-Range": etag})
    assert fresh.data == b"234"
    for doubtful in (f"W/{etag}", "Sat, 21 Nov 2026 12:00:00 GMT"):
        strong = api.status.get(url, headers={"Range": "bytes=2-4", "If-Range": doubtful})
        assert strong.data == b"0123456789", "If-Range needs a strong validator (section 13.1.5)"
    several = api.status.get(url, headers={"Range": "bytes=0-1,4-5"})
    assert (several.status_code, several.data) == (200, b"0123456789")
    thumbnail = api.status.get(f"{url}?variant=thumbnail")
    assert (thumbnail.data, thumbnail.headers["Content-Type"]) == (b"jpeg", "image/jpeg")
    assert thumbnail.headers["ETag"] != etag


def test_a_download_beyond_the_share_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the video's state, so that many of them cost next to nothing."""
    monkeypatch.setattr(status_app, "MAX_DOWNLOADS", 0)
    api = make_api(Settings())
    api.bus.unavailable = True
    refused = api.status.get("/v1/videos/v1/content")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert "downloads are in progress" in error_of(refused)["message"]


def test_a_video_that_the_gateway_fetches_needs_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The response has no body, so it waits neither for the store nor for a reader."""
    monkeypatch.setattr(status_app, "MAX_DOWNLOADS", 0)
    api = make_api(Settings())
    complete(api)
    api.store.unavailable = True
    offer = {"X-Sendfile-Type": "X-Accel-Redirect"}
    answer = api.status.get("/v1/videos/v1/content", headers=offer)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["X-Accel-Host"] == "store.example"
    assert answer.headers["X-Accel-Address"] == "store.example:443"
    assert answer.headers["X-Accel-Length"] == "10"
    small = api.status.get("/v1/videos/v1/content?variant=thumbnail", headers=offer)
    assert small.status_code == 503


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/videos/v1/content", {}),
        ("/v1/videos/v1/content", {"If-None-Match": "*"}),
        ("/v1/videos/v1/content?variant=gif", {}),
        ("/v1/videos/v1", {}),
        ("/v1/videos/unknown", {}),
        ("/v1/videos", {}),
        ("/v1/models", {}),
        ("/v1/models/unknown", {}),
        ("/v1/events", {}),
    ],
)
def test_head_is_get_without_a_body(api: Api, path: str, headers: dict[str, str]) -> None:
    """The same status and headers."""
    complete(api)
    # With the same request id, because it is one of the headers.
    sent = {**headers, "x-request-id": "r"}
    with api.status.get(path, headers=sent) as get:
        head = api.status.head(path, headers=sent)
        assert (head.status_code, head.data) == (get.status_code, b"")
        assert dict(head.headers) == dict(get.headers)


def test_an_unknown_parameter_is_refused(api: Api) -> None:
    """A misspelt `variant` would download the video in place of its thumbnail."""
    complete(api)
    error = error_of(api.status.get("/v1/videos/v1/content?varient=thumbnail"))
    assert (error["code"], error["param"]) == ("unknown_parameter", "varient")


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ("{etag}", 200),
        ('"other", {etag}', 200),
        ("*", 200),
        ('"other"', 412),
        # If-Match needs a strong validator.
        ("W/{etag}", 412),
    ],
)
def test_if_match_is_heeded(api: Api, if_match: str, status: int) -> None:
    """RFC 9110, section 13.1.1: a caller that wants another file gets none."""
    complete(api)
    url = "/v1/videos/v1/content"
    etag = api.status.head(url).headers["ETag"]
    wanted = {"If-Match": if_match.format(etag=etag)}
    for method in ("GET", "HEAD"):
        assert api.status.open(url, method=method, headers=wanted).status_code == status
    # It is checked before If-None-Match, and before a range (section 13.2.2).
    both = api.status.get(url, headers={**wanted, "If-None-Match": etag, "Range": "bytes=99-"})
    assert both.status_code == (304 if status == 200 else status)
    refused = api.status.get(url, headers={"If-Match": '"other"'})
    assert error_of(refused)["code"] == "precondition_failed"


@pytest.mark.parametrize(
    ("prompt", "plain", "name"),
    [
        ("A red circle, moving right!", "A-red-circle-moving-right", ""),
        ('con: ../.. <"|?*\\x>.exe', "con-x-exe", ""),
        ("a " * 60, "-".join("a" * 25), ""),
        ("x" * 200, "x" * 50, ""),
        ("caf\u00e9 \U0001f98a \u732b", "cafe", "caf%C3%A9-%E7%8C%AB"),
        ("\u732b", "video", "%E7%8C%AB"),
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947",
            "video",
            "%E0%A4%A8%E0%A4%AE%E0%A4%B8%E0%A5%8D%E0%A4%A4%E0%A5%87",
        ),
        ("\u202egnp.exe\r\nSet-Cookie: a", "gnp-exe-Set-Cookie-a", ""),
    ],
)
def test_a_download_has_a_name_that_people_can_use(
    api: Api, prompt: str, plain: str, name: str
) -> None:
    """The start of the prompt, the seed and the date; and nothing that a file system refuses."""
    complete(api, prompt=prompt, seed=7)
    rest = "_seed-7_2026-11-21"
    for variant, suffix in (("video", ".mp4"), ("thumbnail", ".jpg")):
        answer = api.status.get(f"/v1/videos/v1/content?variant={variant}")
        assert answer.headers["Content-Disposition"] == (
            f'inline; filename="{plain}{rest}{suffix}"; '
            f"filename*=UTF-8''{name or plain}{rest}{suffix}"
        )


def test_a_download_without_words_has_the_name_of_its_id(api: Api) -> None:
    """As one of an older version whose event has no request."""
    complete(api, prompt="\U0001f98a !")
    answer = api.status.get("/v1/videos/v1/content")
    expected = "inline; filename=\"v1.mp4\"; filename*=UTF-8''v1.mp4"
    assert answer.headers["Content-Disposition"] == expected


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("v1/content", {}),
        ("v1/content", {"If-None-Match": "*"}),
        ("v1/content", {"If-Match": '"other"'}),
        ("v1/content", {"Range": "bytes=99-"}),
        ("v1/content?variant=spritesheet", {}),
        ("waiting/content", {}),
    ],
)
def test_a_download_that_ends_leaves_its_part_of_the_threads(
    api: Api, method: str, path: str, headers: dict[str, str]
) -> None:
    """However it ends: read, not needed, refused or lost. More may follow than may run at once."""
    complete(api)
    put_request(api.bus, VideoKey("default", "waiting"))
    answers = [
        api.status.open(f"/v1/videos/{path}", method=method, headers=headers, buffered=True)
        for _ in range(MAX_DOWNLOADS + 1)
    ]
    assert len({answer.status_code for answer in answers}) == 1
    assert answers[-1].status_code != 503


def test_downloads_that_are_not_read_are_bounded(api: Api) -> None:
    """Each holds a thread; the next one is told when to try again."""
    complete(api)
    url = "/v1/videos/v1/content"
    unread = [api.status.get(url) for _ in range(MAX_DOWNLOADS)]
    refused = api.status.get(url)
    assert (refused.status_code, error_of(refused)["code"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "2"
    unread.pop().close()
    assert api.status.get(url).status_code == 200


def test_head_ignores_ranges(api: Api) -> None:
    """It describes the whole file (RFC 9110, section 14.2)."""
    complete(api)
    head = api.status.head("/v1/videos/v1/content", headers={"Range": "bytes=2-4"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")
    assert (head.headers["Accept-Ranges"], "Content-Range" in head.headers) == ("bytes", False)


def test_unavailable_content_says_why(api: Api) -> None:
    """404 with a reason, not 409, which the official client would retry."""
    complete(api)
    ledger = Ledger(api.bus, takeover_grace=0)
    put_request(api.bus, VideoKey("default", "waiting"))
    publish(
        ledger,
        Snapshot(VideoKey("default", "stopped")),
        EventName.CANCELLED,
        Cancelled(created_at=CREATED),
    )
    for path, status, code, words in (
        ("waiting/content", 404, "video_not_ready", "not finished"),
        ("stopped/content", 404, "video_not_ready", "cancelled"),
        ("unknown/content", 404, "video_not_found", "No such video"),
        ("v1/content?variant=gif", 400, "invalid_value", "thumbnail"),
    ):
        response = api.status.get(f"/v1/videos/{path}")
        assert (response.status_code, error_of(response)["code"]) == (status, code)
        assert words in error_of(response)["message"]
    beyond = api.status.get("/v1/videos/v1/content", headers={"Range": "bytes=99-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == "bytes */10"
    for ignored in ("bytes=5-2", "bytes=-", "bytes=0-" + "9" * 30, "lines=1-2"):
        whole = api.status.get("/v1/videos/v1/content", headers={"Range": ignored})
        assert (whole.status_code, whole.data) == (200, b"0123456789"), ignored


def test_a_lagging_replica_alone_causes_no_404(api: Api) -> None:
    """The leader is asked before a 404."""
    api.bus.lag()
    complete(api)
    waiting = api.create().get_json()["id"]
    assert api.status.get("/v1/videos/v1").get_json()["status"] == "completed"
    assert api.status.get(f"/v1/videos/{waiting}").get_json()["status"] == "queued"
    assert api.status.get("/v1/videos/v1/content").status_code == 200


def test_content_is_served_although_a_lagging_replica_says_not_ready(api: Api) -> None:
    """The video has just completed, and the replica still says that it is running."""
    key = VideoKey("default", "v1")
    ledger = Ledger(api.bus, takeover_grace=0)
    state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    api.bus.lag()
    done = completed(started(key), prefix=f"{key.object_prefix}1-x/")
    publish(ledger, state, EventName.COMPLETED, done)
    api.store.files[f"{key.object_prefix}1-x/video.mp4"] = (b"mp4", "video/mp4")
    assert api.status.get("/v1/videos/v1/content").data == b"mp4"
