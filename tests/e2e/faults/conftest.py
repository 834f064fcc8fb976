"""One stack whose connections and processes fail, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.faults.stack import FaultyStack, faulty_stack


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    """Shared, because it takes ten seconds to start; each test leaves it whole."""
    with faulty_stack(tmp_path_factory.mktemp("faulty") / "stack") as stack:
        yield stack


@pytest.fixture
def stack(faulty: FaultyStack) -> Iterator[FaultyStack]:
    """The shared stack, mended after a test that has failed in the middle."""
    yield faulty
    faulty.heal()
