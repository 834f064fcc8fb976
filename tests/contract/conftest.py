"""The API without API keys."""

from __future__ import annotations

import pytest

from functions.shared.config import Settings
from tests.contract.api import Api, make_api


@pytest.fixture
def api() -> Api:
    """Without keys, everyone uses the account `default`."""
    return make_api(Settings(http_deadline_seconds=0.2))
