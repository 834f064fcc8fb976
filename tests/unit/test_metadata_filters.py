"""The names in the list's filter `metadata[name]=value`."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from flask import Request
from openai._qs import Querystring
from werkzeug.test import EnvironBuilder

from functions.status.listing.filters import read_filters

NAMES = ("a]b", "]", "a[b", "[a]", "a][b", "a=b", "a b", "a&b", "Größe", "片段", "a\nb")


@pytest.mark.parametrize("name", NAMES)
def test_any_metadata_name_can_be_filtered_by(name: str) -> None:
    """The name is all between the first `[` and the last `]`, percent-encoded as usual."""
    assert _filtered(urlencode({f"metadata[{name}]": "x"})) == {name: "x"}


@pytest.mark.parametrize("name", NAMES)
def test_openai_extra_query_filters_by_any_metadata_name(name: str) -> None:
    """As openai-python writes `extra_query={"metadata": {name: value}}`."""
    text = Querystring(nested_format="brackets").stringify({"metadata": {name: "x"}})
    assert _filtered(text) == {name: "x"}


def _filtered(query: str) -> dict[str, str]:
    request = Request(EnvironBuilder(query_string=query).get_environ())
    return read_filters(request.args).metadata
