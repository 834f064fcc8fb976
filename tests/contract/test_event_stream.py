"""The event stream of one video: which videos can be watched."""

from __future__ import annotations

import pytest

from functions.shared.subjects import VideoKey
from tests.contract.api import Api, complete, error_of
from tests.unit.events import put_request


@pytest.mark.parametrize("headers", [{}, {"Last-Event-ID": "0-0"}])
def test_a_video_that_does_not_exist_can_not_be_watched(api: Api, headers: dict[str, str]) -> None:
    """404, and not a stream that never says anything; also once the video was deleted."""
    complete(api)
    assert api.submit.delete("/v1/videos/v1").status_code == 200
    for video_id in ("unknown", "v1"):
        answer = api.status.get(f"/v1/events?video_id={video_id}", headers=headers)
        assert (answer.status_code, error_of(answer)["code"]) == (404, "video_not_found")


@pytest.mark.parametrize("prompt", ["a red circle", ""])
def test_a_queued_video_can_be_watched_even_if_its_request_is_invalid(
    api: Api, prompt: str
) -> None:
    """`dispatch` reports the reason as an event. An empty Last-Event-ID is ignored."""
    put_request(api.bus, VideoKey("default", "waiting"), prompt=prompt)
    path = "/v1/events?video_id=waiting"
    with api.status.get(path, headers={"Last-Event-ID": ""}) as answer:
        assert answer.status_code == 200
        assert next(iter(answer.response)) in (b": position 1-0\n\n", ": position 1-0\n\n")


def test_an_unknown_parameter_is_refused(api: Api) -> None:
    """A misspelt `video_id` would watch every video."""
    error = error_of(api.status.get("/v1/events?videoid=v1"))
    assert error["message"] == "videoid is not known; did you mean 'video_id'?"
