"""The client's side of a feed: whether it reads."""

from __future__ import annotations

import select
import socket
from typing import Any, Final

# Of the kernel, for what the client has not read yet; it reserves twice this size. Without it the
# buffer grows to megabytes: outside of this process, but within the memory of its container.
SEND_BUFFER_BYTES: Final = 128 << 10
# What always fits at once while the client reads: Linux reports a socket as writable when a third
# of its buffer is free.
PIECE_BYTES: Final = 64 << 10


class FeedClient:
    """The connection of one client.

    Attributes:
        fileno: its descriptor, if it is known.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        """Take gunicorn's socket from a WSGI environment; without one, a client always reads."""
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        self.fileno = None if self._socket is None else self._socket.fileno()
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def wait(self, seconds: float) -> bool:
        """Wait until `PIECE_BYTES` can be sent at once, or the client has gone; False if not."""
        if self._socket is None:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(1000 * seconds))
