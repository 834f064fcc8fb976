"""A plugin for the processes that run tests: none is outlived, and stacks are shared."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

import pytest
from execnet import XSpec
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from tests import subreaper

# They start stacks of their own, so another process need not wait for the rest of their folder.
_ALONE: Final = frozenset(
    f"tests/e2e/faults/test_{name}.py"
    for name in ("cluster_faults", "lost_data", "lost_events", "store_outages")
)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Without xdist, this process runs the tests: put it under the subreaper."""
    distributed = config.getoption("numprocesses", None) or config.getoption("tx", None)
    if not distributed and not hasattr(config, "workerinput"):
        subreaper.continue_under_subreaper()


def pytest_xdist_setupnodes(specs: Sequence[XSpec]) -> None:
    """The same for each process of pytest-xdist."""
    for spec in specs:
        spec.python = shlex.join([sys.executable, "-IS", subreaper.__file__, sys.executable])


class LoadByStack(LoadFileScheduling):  # type: ignore[misc]  # which has no types
    """Assigns whole files, and of end-to-end tests most of a folder, to a process.

    Those of a folder share a stack, which takes ten seconds of two cores to start. (The groups that
    pytest-xdist has for this are lost with pytest 9.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.partition("::")[0])
        shares = path.is_relative_to("tests/e2e") and str(path) not in _ALONE
        return str(path.parent if shares else path)

    def remove_node(self, node: WorkerController) -> str | None:
        """Return the test at which a process crashed; unlike pytest-xdist, don't run it again."""
        workload = self.assigned_work[node]
        pending = (
            (scope, nodeid)
            for scope, unit in workload.items()
            for nodeid, completed in unit.items()
            if not completed
        )
        crashed = next(pending, None)
        if crashed is None:
            del self.assigned_work[node]
            return None
        scope, nodeid = crashed
        workload[scope][nodeid] = True
        # With nothing left to do, it would look for another test to blame.
        if next(pending, None) is None:
            del self.assigned_work[node]
        else:
            super().remove_node(node)
        return str(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadByStack:
    """Use `LoadByStack` when several processes run the tests."""
    return LoadByStack(config, log)
