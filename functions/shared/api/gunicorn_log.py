"""gunicorn's own log lines, in the same format as the functions'."""

from __future__ import annotations

import os
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from functions.shared.logs import LogFormat, log_formatter


class Logger(GunicornLogger):
    """Formats lines as the setting `LOG_FORMAT` says; its master process has no other settings."""

    def setup(self, cfg: Any) -> None:
        """See gunicorn's `Logger`."""
        super().setup(cfg)
        function = str(cfg.wsgi_app).split(".")[1]  # functions.submit.app:create_app()
        log_format = LogFormat(os.environ.get("LOG_FORMAT") or LogFormat.JSON)
        for handler in self.error_log.handlers:
            handler.setFormatter(log_formatter(function, log_format))
