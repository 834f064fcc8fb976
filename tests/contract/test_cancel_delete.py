"""Cancelling and deleting over HTTP."""

from __future__ import annotations

import pytest

from tests.contract.api import Api, complete, error_of


def test_cancel_and_delete_return_what_the_official_client_expects(api: Api) -> None:
    """A cancelled video is `failed`: strict clients accept no other state."""
    video_id = api.create().get_json()["id"]
    cancelled = api.submit.post(f"/v1/videos/{video_id}/cancel").get_json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    assert cancelled["completed_at"] is not None
    deleted = api.submit.delete(f"/v1/videos/{video_id}")
    assert deleted.get_json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    assert api.status.get(f"/v1/videos/{video_id}").status_code == 404
    assert api.status.get("/v1/videos").get_json()["data"] == []


@pytest.mark.parametrize("video_id", ["*", ">", "a.b", "%2e%2e", "x" * 65, "a%20b", "a%0a"])
def test_invalid_ids_are_not_found_and_touch_nothing(api: Api, video_id: str) -> None:
    """An id '*' must never reach a subject: it would purge every video of the account."""
    complete(api)
    files = dict(api.store.files)
    for response in (
        api.status.get(f"/v1/videos/{video_id}"),
        api.status.get(f"/v1/videos/{video_id}/content"),
        api.submit.delete(f"/v1/videos/{video_id}"),
        api.submit.post(f"/v1/videos/{video_id}/cancel"),
    ):
        assert response.status_code == 404
        error_of(response)
    assert api.store.files == files
    assert len(api.requests()) == 1
