"""The process's connection to NATS, for threads without asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from functions.shared.streams.nats_address import client_options
from functions.shared.streams.silence import Silence

T = TypeVar("T")
log = logging.getLogger(__name__)

# Timeout of one request. A healthy server answers in under a millisecond; with a synced disk or
# during an election, in under two seconds.
REQUEST_TIMEOUT: Final = 2.0

# Errors without a response: they reveal nothing about what the server did or will do.
NO_RESPONSE_ERRORS: Final = (
    nats.errors.TimeoutError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.NoRespondersError,
    nats.errors.StaleConnectionError,
    # Only an operator can fix this one, but the request got no response either.
    nats.errors.AuthorizationError,
    nats.js.errors.NoStreamResponseError,
    nats.js.errors.ServiceUnavailableError,
    asyncio.TimeoutError,
    concurrent.futures.TimeoutError,
    OSError,
)


class NatsConnection:
    """One connection per process, on an event loop in a daemon thread, opened by the first call.

    It is opened lazily, so that a server that forks its workers can create the app before the fork.
    While there is no connection, every call fails with one of `NO_RESPONSE_ERRORS`, and the client
    keeps trying to connect.
    """

    def __init__(self, url: str, silence: Silence | None = None) -> None:
        """Use the servers in `url`; see `client_options` for its format.

        With `silence`, requests fail at once while it says that NATS does not answer.
        """
        self._silence = silence
        self._address = client_options(url)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._connecting: asyncio.Task[Client] | None = None
        self._since: float | None = None
        self._connects = 0

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = REQUEST_TIMEOUT) -> T:
        """Run `coroutine` on the loop, and wait up to `timeout` seconds for its result."""
        future = self.start(coroutine)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise
        except concurrent.futures.CancelledError as closing:
            raise nats.errors.ConnectionClosedError from closing

    def start(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
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

    def request(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        *,
        own_inbox: bool = False,
    ) -> Msg:
        """Send a request, and wait for the response, whose headers have the server's status.

        The connection's requests share one inbox; with `own_inbox`, this one has its own.
        """
        request = partial(self._request, subject, payload, headers, own_inbox=own_inbox)
        # Half a second longer, so that the request's own, clearer error comes first.
        timeout = REQUEST_TIMEOUT + 0.5
        if self._silence is None:
            return self.run(request(), timeout)
        sent = self._silence.begin()
        if sent is None:
            raise nats.errors.TimeoutError
        try:
            response = self.run(request(), timeout)
        except TimeoutError:
            # All other errors came without waiting.
            self._silence.unanswered(sent)
            raise
        self._silence.answered()
        return response

    async def _request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, *, own_inbox: bool
    ) -> Msg:
        client = await self.client()
        return await client.request(
            subject, payload, timeout=REQUEST_TIMEOUT, headers=headers, old_style=own_inbox
        )

    def request_many(
        self, subject: str, payload: bytes, is_last: Callable[[Msg], bool]
    ) -> list[Msg]:
        """Send a request, and wait for all responses, up to the first for which `is_last` holds."""
        return self.run(self._request_many(subject, payload, is_last), REQUEST_TIMEOUT + 0.5)

    async def _request_many(
        self, subject: str, payload: bytes, is_last: Callable[[Msg], bool]
    ) -> list[Msg]:
        client = await self.client()
        responses: list[Msg] = []
        ended = asyncio.Event()

        async def receive(msg: Msg) -> None:
            if not ended.is_set():
                responses.append(msg)
                if is_last(msg):
                    ended.set()

        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=receive)
        try:
            await client.publish(subject, payload, reply=inbox)
            await asyncio.wait_for(ended.wait(), REQUEST_TIMEOUT)
        finally:
            with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
                await subscription.unsubscribe()
        return responses

    def publish(self, subject: str, payload: bytes) -> None:
        """Publish without waiting for an acknowledgement."""

        async def send() -> None:
            await (await self.client()).publish(subject, payload)

        self.run(send())

    def max_payload(self) -> int:
        """The largest message that the server accepts, with its headers, in bytes."""
        task = self._connecting
        # Once connected, the limit is known without a round trip through the loop's thread.
        if task is not None and self._pid == os.getpid() and task.done() and not task.exception():
            return task.result().max_payload

        async def limit() -> int:
            return (await self.client()).max_payload

        return self.run(limit())

    async def client(self) -> Client:
        """The connected client; await it on the loop."""
        task = self._connecting
        # A message above the server's limit closes a nats-py connection for good.
        if task is None or (task.done() and (task.exception() or task.result().is_closed)):
            task = self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(task)

    async def _connect(self) -> Client:
        async def up() -> None:
            self._since = time.monotonic()
            self._connects += 1

        async def down() -> None:
            self._since = None

        async def error(problem: Exception) -> None:
            # A refusal is the operator's to fix: the password, or the user's permissions.
            refused = isinstance(problem, nats.errors.AuthorizationError) or (
                "violation" in str(problem).lower()
            )
            log.log(logging.ERROR if refused else logging.DEBUG, "nats: %s", problem)

        client = await nats.connect(
            **self._address,
            # Without limit: a function survives any outage of NATS.
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,
            connect_timeout=2,
            ping_interval=10,
            # No buffer while there is no connection: calls fail at once.
            pending_size=0,
            reconnected_cb=up,
            disconnected_cb=down,
            error_cb=error,
        )
        await up()
        return client

    def connected_for(self) -> float:
        """Seconds since the connection was last established; 0 while there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def reconnects(self) -> int:
        """How often the connection was established again."""
        return max(0, self._connects - 1)

    def close(self) -> None:
        """Close the connection, and stop its thread."""
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
        # Repeated: nats-py uses `asyncio.wait_for`, which in Python 3.11 loses a cancellation that
        # comes as the inner call ends.
        while not connecting.done():
            connecting.cancel()
            await asyncio.wait([connecting], timeout=0.05)
        if connecting.cancelled() or connecting.exception():
            return
        with contextlib.suppress(nats.errors.Error, *NO_RESPONSE_ERRORS):
            await connecting.result().close()
