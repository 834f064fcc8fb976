"""A plain HTTP client of the gateway."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import requests
from numpy.typing import NDArray

from tests.patience import scaled, wait_until


@dataclass(frozen=True)
class Client:
    """Calls the gateway at `url`."""

    url: str

    def create(self, **fields: Any) -> dict[str, Any]:
        """POST /v1/videos."""
        response = requests.post(
            f"{self.url}/v1/videos", json={"prompt": "a red circle", **fields}, timeout=scaled(20)
        )
        assert response.status_code == 200, response.text
        video: dict[str, Any] = response.json()
        return video

    def get(self, video_id: str) -> dict[str, Any]:
        """GET /v1/videos/{id}; an empty dictionary for 404."""
        response = requests.get(f"{self.url}/v1/videos/{video_id}", timeout=scaled(20))
        if response.status_code == requests.codes.not_found:
            return {}
        response.raise_for_status()
        video: dict[str, Any] = response.json()
        return video

    def delete(self, video_id: str) -> None:
        """DELETE /v1/videos/{id}."""
        requests.delete(f"{self.url}/v1/videos/{video_id}", timeout=scaled(20)).raise_for_status()

    def wait(self, video_id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """Return the video once its status is one of `states`."""

        def reached() -> dict[str, Any] | None:
            video = self.get(video_id)
            return video if video.get("status") in states else None

        return wait_until(reached, seconds=seconds, what=f"{video_id} is {' or '.join(states)}")

    def frames(self, video_id: str) -> NDArray[np.uint8]:
        """The decoded frames of a completed video, (frames, height, width, 3) in RGB."""
        response = requests.get(f"{self.url}/v1/videos/{video_id}/content", timeout=scaled(20))
        response.raise_for_status()
        with av.open(io.BytesIO(response.content), mode="r") as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        return np.stack([np.asarray(frame, dtype=np.uint8) for frame in frames])
