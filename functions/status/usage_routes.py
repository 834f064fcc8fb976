"""`GET /v1/usage`: what an account used, by day; for operators, what all did."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Final

from flask import Flask, Response, jsonify, request

from functions.shared.api.accounts import Accounts
from functions.shared.api.parameters import USAGE_FORMAT, refuse_unknown
from functions.shared.api.response_bodies import AccountUsage, UsageList
from functions.shared.timestamps import DAY_SECONDS
from functions.status.index_reads import IndexReads
from functions.status.usage import DayOfAccount

JSON: Final = "application/json"
CSV: Final = "text/csv"
_COLUMNS: Final = ("day", "account", "videos", "gpu_seconds", "bytes")


class UsageRoutes:
    """Handles the request."""

    def __init__(self, accounts: Accounts, index_reads: IndexReads) -> None:
        """Read what was used with `index_reads`."""
        self._accounts = accounts
        self._index_reads = index_reads

    def register(self, app: Flask) -> None:
        """Add the route to `app`."""
        app.add_url_rule("/v1/usage", "getUsage", self.get_usage)

    def get_usage(self) -> Response:
        """The caller's own days, or those of all accounts for a key with the role `operator`."""
        authorization = request.headers.get("Authorization")
        account = self._accounts.account(authorization)
        refuse_unknown(request.args, (USAGE_FORMAT.name,))
        wanted = USAGE_FORMAT.value(request)
        is_operator = self._accounts.is_operator(authorization)
        days = [_row(day) for day in self._index_reads.usage(None if is_operator else account)]
        accepted = request.accept_mimetypes.best_match([JSON, CSV], JSON)
        if wanted == "csv" or (wanted is None and accepted == CSV):
            response = Response(_as_csv(days), content_type=f"{CSV}; charset=utf-8; header=present")
        else:
            response = jsonify(UsageList(object="list", data=days))
        response.vary.add("Accept")
        return response


def _row(day: DayOfAccount) -> AccountUsage:
    date = datetime.fromtimestamp(day.day * DAY_SECONDS, UTC).date().isoformat()
    return {
        "object": "usage",
        "day": date,
        "account": day.account,
        "videos": day.videos,
        "gpu_seconds": round(day.gpu_seconds, 3),
        "bytes": day.bytes,
    }


def _as_csv(days: list[AccountUsage]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, extrasaction="ignore")
    table.writeheader()
    table.writerows(days)
    return text.getvalue()
