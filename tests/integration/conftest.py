"""Fixtures that several of these tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forked_engines import forked_engines as forking_engines


@pytest.fixture
def no_grad() -> Iterator[None]:
    """Without autograd, as in the engine."""
    import torch  # noqa: PLC0415 - takes seconds, and most tests here don't need it

    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def forked_engines() -> Iterator[None]:
    """See `tests/forked_engines.py`."""
    with forking_engines():
        yield
