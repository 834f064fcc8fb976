"""How old the knowledge may be that a read is answered from, and what writes do about that.

`status` answers a read from memory if it has learned, within the last `READ_WINDOW_SECONDS`, that
it has everything that JetStream has. So what is stored is in every answer once the window has
passed. `submit` tells no one earlier that a video was cancelled or deleted: whoever was told sees
it in the next read, whichever replica answers. `docs/decisions/reads-from-the-index.md` says why.
"""

from __future__ import annotations

import time
from typing import Final

# Twenty questions a second to NATS by a busy replica of `status`, and the least time that a
# cancellation takes. Both functions must agree on it.
READ_WINDOW_SECONDS: Final = 0.05


class Visible:
    """The moment from which every read shows a state. To be made once the state is stored."""

    def __init__(self) -> None:
        """The state has just been stored, or read."""
        self._at = time.monotonic() + READ_WINDOW_SECONDS

    def wait(self) -> None:
        """Wait until every read shows the state, or a later one."""
        time.sleep(max(0.0, self._at - time.monotonic()))
