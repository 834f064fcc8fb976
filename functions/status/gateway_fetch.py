"""Lets the gateway fetch a file from the object store, so that no thread here waits for its reader.

Request and response headers are those of Rack's `X-Sendfile-Type: X-Accel-Redirect`, with what the
gateway has to know about the object beside them. ui/Caddyfile is the other side.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import Request, Response

# The gateway sets this on every request. Others who send it get a signed URL of a file that they
# may read anyway.
_OFFER: Final = ("X-Sendfile-Type", "X-Accel-Redirect")
_PORTS: Final = {"http": 80, "https": 443}


def is_offered(request: Request) -> bool:
    """Whether the request is a GET, through a gateway that can fetch files."""
    name, value = _OFFER
    return request.method == "GET" and request.headers.get(name) == value


def redirect(
    url: str, size: int, bounds: tuple[int, int] | None, headers: dict[str, str]
) -> Response:
    """A response without a body, which tells the gateway to send what is at `url` in its place.

    Nothing here looks whether it is there. If the store does not send it, the gateway repeats the
    request without its offer.

    Args:
        url: a signed URL of the object store.
        size: of the object, in bytes.
        bounds: the first and the last byte to send, or None for all.
        headers: of the response to the caller, without length and range.
    """
    parts = urlsplit(url)
    first, last = bounds or (0, size - 1)
    response = Response(status=200 if bounds is None else 206, headers=headers)
    if bounds is not None:
        response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    response.headers.update(
        {
            "X-Accel-Redirect": f"{parts.path}?{parts.query}",
            "X-Accel-Scheme": parts.scheme,
            "X-Accel-Address": (
                parts.netloc if parts.port else f"{parts.netloc}:{_PORTS[parts.scheme]}"
            ),
            # As it was signed.
            "X-Accel-Host": parts.netloc,
            # In any case, because Caddy can't leave a header out. The store's own status is 206.
            "X-Accel-Range": f"bytes={first}-{last}",
            "X-Accel-Length": str(last - first + 1),
        }
    )
    return response
