"""What several of these tests need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the processes that tests start: threads that wait for each other cost the most."""
    import torch  # noqa: PLC0415 - seconds, which most of these tests do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
