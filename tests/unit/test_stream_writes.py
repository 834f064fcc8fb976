"""What `submit` learns from publishes that are not confirmed."""

from __future__ import annotations

import threading

import pytest

from functions.shared.errors import NotStored, OutcomeUnknown, Unavailable
from functions.submit.stream_writes import StreamWrites
from tests.patience import scaled, wait_until


class Server:
    """NATS, as far as the question is concerned whether it stores messages."""

    def __init__(self) -> None:
        """It stores them."""
        self.problem: Exception | None = None
        self.asked = threading.Semaphore(0)
        self.writes = StreamWrites(self._check, patience=0.01, every=0.01)

    def _check(self) -> None:
        self.asked.release()
        if self.problem is not None:
            raise self.problem

    def was_asked(self) -> bool:
        """Wait for the next question."""
        return self.asked.acquire(timeout=scaled(10))

    def stop(self) -> None:
        """Store nothing more, and let a publish find out."""
        self.problem = NotStored("no room")
        with self.writes.publishing():
            wait_until(self.writes.stopped.is_set, seconds=10, what="it is known")


@pytest.fixture
def server() -> Server:
    """A server that stores messages, and that nobody has published to."""
    return Server()


def test_callers_are_told_at_once_while_nothing_is_stored(server: Server) -> None:
    """A publish that waits gives reason to ask; whoever comes next does not wait."""
    server.writes.check()
    server.stop()
    with pytest.raises(NotStored, match="no room") as refused:
        server.writes.check()
    assert refused.value.retry_after


@pytest.mark.parametrize("better", [None, Unavailable("NATS does not answer")])
def test_no_caller_is_needed_to_find_out_that_it_is_over(
    server: Server, better: Exception | None
) -> None:
    """It is asked again and again. Without an answer, publishers try as before."""
    server.stop()
    server.problem = better
    wait_until(lambda: not server.writes.stopped.is_set(), seconds=10, what="there is hope again")
    server.writes.check()


def test_a_publish_whose_outcome_is_unknown_gives_reason_to_ask(server: Server) -> None:
    """However soon that was known."""
    server.problem = NotStored("no room")
    with pytest.raises(OutcomeUnknown), server.writes.publishing():
        raise OutcomeUnknown
    wait_until(server.writes.stopped.is_set, seconds=10, what="it is known")


def test_other_trouble_is_left_to_the_publishers(server: Server) -> None:
    """In an election, or while NATS is away, they retry."""
    server.problem = Unavailable("NATS does not answer")
    with server.writes.publishing():
        assert server.was_asked()
        assert server.was_asked()
        server.writes.check()
