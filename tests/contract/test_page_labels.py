"""The page has a label for every state and stage that the API can show."""

from __future__ import annotations

import re

import pytest

from functions.shared.video.events import State
from functions.shared.video.progress import Stage
from local.stack import ROOT

LABELS = (ROOT / "ui" / "videos" / "labels.js").read_text()


@pytest.mark.parametrize(("table", "values"), [("STATES", State), ("STAGES", Stage)])
def test_every_value_has_a_label(table: str, values: type[State | Stage]) -> None:
    """`ui/videos/labels.js` names each value of the enum, in its order, and no other."""
    body = re.search(rf"const {table} = \{{(.*?)\n\}};", LABELS, re.DOTALL)
    assert body is not None
    assert re.findall(r"(\w+): \"", body[1]) == [value.value for value in values]
