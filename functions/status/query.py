"""From filters to one page: the rarest filter leads.

If any condition matches few videos, all of these are looked at and sorted. Otherwise the list is
walked in its order, by the index of the rarest condition that has one, until the page is full.
`docs/decisions/list-queries-start-from-the-most-selective-filter.md` says why, and what stays slow.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Any, Final

from functions.status.filters import Filters
from functions.status.table import Table

# So many rows are counted, fetched and sorted in a few milliseconds.
FEW: Final = 2000
# Trigrams find nothing shorter.
SEARCHABLE: Final = 3


@dataclass(frozen=True)
class Order:
    """How the list is read: its direction, and the place (creation, id) after which to begin."""

    newest_first: bool
    after: tuple[int, str] | None = None


@dataclass(frozen=True)
class _Sql:
    """A piece of a statement, and the values for its question marks."""

    text: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Condition:
    """One filter, in every form that may be needed.

    Attributes:
        check: whether a row `v` fulfils it.
        numbers: selects the `n` of all rows that do; empty if only a scan of the table tells.
        walk: tables that have these rows in the order of the list; None if there are none.
        place: which of these tables has the columns of that order.
    """

    check: _Sql
    numbers: _Sql = _Sql("")
    walk: _Sql | None = None
    place: str = "v"


def find(
    table: Table, account: str, filters: Filters, order: Order, limit: int
) -> list[sqlite3.Row]:
    """At most `limit` rows (created, id, object) of `account` that fulfil `filters`, in `order`."""
    if len(filters.statuses) <= 1:
        return _find(table, account, filters, order, limit)
    # Each status has an order of its own, of which the beginnings are enough.
    rows = [
        row
        for status in filters.statuses
        for row in _find(table, account, replace(filters, statuses=(status,)), order, limit)
    ]
    rows.sort(key=lambda row: (row["created"], row["id"]), reverse=order.newest_first)
    return rows[:limit]


def _find(
    table: Table, account: str, filters: Filters, order: Order, limit: int
) -> list[sqlite3.Row]:
    conditions = [*_conditions(table, account, filters), _list(account, filters, order)]
    leader = _leader(table, conditions)
    checks = [condition.check for condition in conditions]
    if leader.walk is not None:
        source, place = leader.walk, leader.place
    else:
        source, place = _Sql("videos AS v NOT INDEXED"), "v"
        checks.append(_Sql(f"v.n IN ({leader.numbers.text})", leader.numbers.values))
    checks.append(_span(place, filters, order))
    direction = "DESC" if order.newest_first else "ASC"
    pieces = [
        _Sql("SELECT v.created, v.id, v.object FROM"),
        source,
        _Sql("WHERE v.account = ? AND v.name != 'deleted'", (account,)),
        *(_Sql(f"AND {check.text}", check.values) for check in checks),
        _Sql(f"ORDER BY {place}.created {direction}, {place}.id {direction} LIMIT ?", (limit,)),
    ]
    text = " ".join(piece.text for piece in pieces)
    return table.db.execute(text, [v for piece in pieces for v in piece.values]).fetchall()


def _leader(table: Table, conditions: list[_Condition]) -> _Condition:
    """The rarest condition; one that can be walked, if all of them are frequent."""
    if len(conditions) == 1:
        return conditions[0]
    counts = [_count(table, condition) for condition in conditions]
    fewest, rarest = min(zip(counts, conditions, strict=True), key=lambda pair: pair[0])
    if fewest < FEW or rarest.walk is not None:
        return rarest
    return next(condition for condition in conditions if condition.walk is not None)


def _conditions(table: Table, account: str, filters: Filters) -> list[_Condition]:
    found = [_pair(account, name, value) for name, value in filters.metadata.items()]
    found += [_status(account, status) for status in filters.statuses]
    return [*found, _text(table, filters.text)] if filters.text else found


def _count(table: Table, condition: _Condition) -> int:
    """How many rows fulfil it, up to `FEW`."""
    if not condition.numbers.text:
        return FEW
    text = f"SELECT count(*) FROM ({condition.numbers.text} LIMIT {FEW})"  # noqa: S608 - of constants
    return int(table.db.execute(text, condition.numbers.values).fetchone()[0])


def _list(account: str, filters: Filters, order: Order) -> _Condition:
    """What is always asked for: videos that are not deleted, of a time, after a place."""
    span = _span("v", filters, order)
    own = (
        "SELECT v.n FROM videos AS v INDEXED BY newest WHERE v.account = ? AND v.name != 'deleted'"
    )
    return _Condition(
        check=_Sql("TRUE"),
        numbers=_Sql(f"{own} AND {span.text}", (account, *span.values)),
        walk=_Sql("videos AS v INDEXED BY newest"),
    )


def _span(place: str, filters: Filters, order: Order) -> _Sql:
    first, last = filters.created_from, filters.created_until - 1
    text = f"{place}.created BETWEEN ? AND ?"
    if order.after is None:
        return _Sql(text, (first, last))
    # Said twice, because SQLite seeks by the first condition alone.
    if order.newest_first:
        last, beyond = min(last, order.after[0]), "<"
    else:
        first, beyond = max(first, order.after[0]), ">"
    beyond = f"({place}.created, {place}.id) {beyond} (?, ?)"
    return _Sql(f"{text} AND {beyond}", (first, last, *order.after))


def _pair(account: str, name: str, value: str) -> _Condition:
    chosen = "p.account = ? AND p.name = ? AND p.value = ?"
    values = (account, name, value)
    return _Condition(
        check=_Sql(
            f"EXISTS (SELECT 1 FROM pairs AS p WHERE {chosen}"  # noqa: S608 - of constants
            " AND p.created = v.created AND p.id = v.id)",
            values,
        ),
        numbers=_Sql(f"SELECT p.n FROM pairs AS p WHERE {chosen}", values),  # noqa: S608 - of constants
        walk=_Sql(
            f"pairs AS w CROSS JOIN videos AS v ON v.n = w.n AND {chosen.replace('p.', 'w.')}",
            values,
        ),
        place="w",
    )


def _status(account: str, status: str) -> _Condition:
    return _Condition(
        check=_Sql("v.status = ?", (status,)),
        numbers=_Sql(
            "SELECT v.n FROM videos AS v INDEXED BY by_status"
            " WHERE v.account = ? AND v.name != 'deleted' AND v.status = ?",
            (account, status),
        ),
        walk=_Sql("videos AS v INDEXED BY by_status"),
    )


def _text(table: Table, text: str) -> _Condition:
    check = _Sql("instr(v.prompt, ?) > 0", (text,))
    # The language of FTS5's queries ends at a zero.
    if len(text) < SEARCHABLE or "\0" in text:
        return _Condition(check)
    phrase = '"' + text.replace('"', '""') + '"'
    return _Condition(
        check,
        numbers=_Sql(
            "SELECT rowid FROM prompts WHERE prompts MATCH ?"
            " UNION ALL SELECT n FROM videos WHERE n > ? AND instr(prompt, ?) > 0",
            (phrase, table.searchable, text),
        ),
    )
