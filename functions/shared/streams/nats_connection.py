"""The process's connection to NATS, for threads that know nothing of asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from functions.shared.streams.nats_address import client_options

T = TypeVar("T")
log = logging.getLogger(__name__)

# How long one request waits for its answer before it is repeated or given up. A healthy server
# answers in under a millisecond; with a synced disk or an election, in under two seconds.
REQUEST_TIMEOUT: Final = 2.0

# What means "no answer", and so nothing about what the server did or will do.
NO_RESPONSE_ERRORS: Final = (
    nats.errors.TimeoutError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.NoRespondersError,
    nats.errors.StaleConnectionError,
    # Only an operator can mend it, but nothing else was answered either.
    nats.errors.AuthorizationError,
    nats.js.errors.NoStreamResponseError,
    nats.js.errors.ServiceUnavailableError,
    asyncio.TimeoutError,
    concurrent.futures.TimeoutError,
    OSError,
)


class NatsConnection:
    """One connection a process, on an event loop in a daemon thread, made at the first call.

    It is made lazily so that a server that forks its workers can build the app before the fork.
    While there is no connection, every call fails with one of `NO_RESPONSE_ERRORS`, and the client
    keeps trying to connect.
    """

    def __init__(self, url: str) -> None:
        """Remember where the servers are; see `client_options` for the form of `url`."""
        self._address = client_options(url)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._connecting: asyncio.Task[Client] | None = None
        self._since: float | None = None

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = REQUEST_TIMEOUT) -> T:
        """Run `coroutine` on the loop and wait for its result, `timeout` seconds at most."""
        future = self.begin(coroutine)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise
        except concurrent.futures.CancelledError as closing:
            raise nats.errors.ConnectionClosedError from closing

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start `coroutine` on the loop, without waiting for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                self._connecting = None
                threading.Thread(target=self._loop.run_forever, name="nats", daemon=True).start()
            return self._loop

    def request(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> Msg:
        """Ask and wait for the answer; the server's status is in the answer's headers."""
        # Half a second more than the request itself, so that its own, clearer error comes first.
        return self.run(self._request(subject, payload, headers), REQUEST_TIMEOUT + 0.5)

    async def _request(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> Msg:
        client = await self.client()
        return await client.request(subject, payload, timeout=REQUEST_TIMEOUT, headers=headers)

    def send(self, subject: str, payload: bytes) -> None:
        """Publish without waiting for anybody."""

        async def publish() -> None:
            await (await self.client()).publish(subject, payload)

        self.run(publish())

    def max_payload(self) -> int:
        """The largest message, with its headers, that the server takes, in bytes."""
        task = self._connecting
        # Known since the connection was made: no need to trouble its thread for every message.
        if task is not None and self._pid == os.getpid() and task.done() and not task.exception():
            return task.result().max_payload

        async def limit() -> int:
            return (await self.client()).max_payload

        return self.run(limit())

    async def client(self) -> Client:
        """The connected client; to be awaited on the loop."""
        task = self._connecting
        # A message above the server's limit closes a nats-py connection for good.
        if task is None or (task.done() and (task.exception() or task.result().is_closed)):
            task = self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(task)

    async def _connect(self) -> Client:
        async def up() -> None:
            self._since = time.monotonic()

        async def down() -> None:
            self._since = None

        async def error(problem: Exception) -> None:
            # A refusal is the operator's affair: the password, or the permissions of the user.
            refused = isinstance(problem, nats.errors.AuthorizationError) or (
                "violation" in str(problem).lower()
            )
            log.log(logging.ERROR if refused else logging.DEBUG, "nats: %s", problem)

        client = await nats.connect(
            **self._address,
            # For ever: a function outlives any outage of NATS, and is not ready meanwhile.
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,
            connect_timeout=2,
            ping_interval=10,
            # Nothing is buffered while there is no connection: a caller hears so at once.
            pending_size=0,
            reconnected_cb=up,
            disconnected_cb=down,
            error_cb=error,
        )
        await up()
        return client

    def connected_for(self) -> float:
        """Seconds since the connection was last made; 0 while there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """Give up the connection and its thread."""
        loop = self._loop
        if loop is None or self._pid != os.getpid():
            return
        self.run(self._disconnect())
        loop.call_soon_threadsafe(loop.stop)
        self._loop = None

    async def _disconnect(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is None:
            return
        connecting.cancel()  # without effect where it has connected
        with contextlib.suppress(asyncio.CancelledError, nats.errors.Error, *NO_RESPONSE_ERRORS):
            await (await connecting).close()
