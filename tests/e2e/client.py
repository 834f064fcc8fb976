"""A plain HTTP client of the gateway."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
import requests
from numpy.typing import NDArray

from tests.patience import scaled, wait_until

# What the demo model renders soonest: a tenth of a second of a core.
TINY: Final[dict[str, Any]] = {"size": "32x32", "num_frames": 7, "num_inference_steps": 2}


@dataclass(frozen=True)
class Client:
    """Calls the gateway at `url`, again while it answers 503: a function starts, or NATS is back.

    Attributes:
        url: the gateway's base URL.
        key: the API key, if it requires one.
    """

    url: str
    key: str = ""

    def create(self, **fields: Any) -> dict[str, Any]:
        """POST /v1/videos."""
        # What was repeated must not become two videos.
        once = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"prompt": "a red circle", **fields}
        response = self._call("POST", "/v1/videos", json=body, headers=once)
        assert response.status_code == 200, response.text
        video: dict[str, Any] = response.json()
        return video

    def get(self, video_id: str) -> dict[str, Any]:
        """GET /v1/videos/{id}; an empty dictionary for 404."""
        response = self._call("GET", f"/v1/videos/{video_id}")
        if response.status_code == requests.codes.not_found:
            return {}
        response.raise_for_status()
        video: dict[str, Any] = response.json()
        return video

    def cancel(self, video_id: str) -> None:
        """POST /v1/videos/{id}/cancel."""
        self._call("POST", f"/v1/videos/{video_id}/cancel").raise_for_status()

    def delete(self, video_id: str) -> None:
        """DELETE /v1/videos/{id}."""
        self._call("DELETE", f"/v1/videos/{video_id}").raise_for_status()

    def _call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: Any = None
    ) -> requests.Response:
        sent = {**(headers or {}), **({"Authorization": f"Bearer {self.key}"} if self.key else {})}

        # In a tuple, because a response counts as false if it is an error.
        def served() -> tuple[requests.Response] | None:
            response = requests.request(
                method, self.url + path, headers=sent, json=json, timeout=scaled(20)
            )
            return None if response.status_code == 503 else (response,)

        what = f"{method} {path} is served"
        return wait_until(served, seconds=60, what=what, every=0.5)[0]

    def wait(self, video_id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """Return the video once its status is one of `states`."""

        def reached() -> dict[str, Any] | None:
            video = self.get(video_id)
            return video if video.get("status") in states else None

        return wait_until(reached, seconds=seconds, what=f"{video_id} is {' or '.join(states)}")

    def frames(self, video_id: str) -> NDArray[np.uint8]:
        """The decoded frames of a completed video, (frames, height, width, 3) in RGB."""
        response = self._call("GET", f"/v1/videos/{video_id}/content")
        response.raise_for_status()
        with av.open(io.BytesIO(response.content), mode="r") as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        return np.stack([np.asarray(frame, dtype=np.uint8) for frame in frames])
