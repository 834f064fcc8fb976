"""One stack with fault injection, shared by the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.faults.stack import FaultyStack, faulty_stack


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    """Shared, because it takes ten seconds to start."""
    with faulty_stack(tmp_path_factory.mktemp("faulty") / "stack") as stack:
        yield stack


@pytest.fixture
def stack(faulty: FaultyStack) -> Iterator[FaultyStack]:
    """The shared stack; it is healed after each test, even a failed one."""
    yield faulty
    faulty.heal()
