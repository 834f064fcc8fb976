"""Plans and runs the query for one page of the list.

The most selective condition drives the query. If it has an index in list order, that index is
scanned until the page is full; if it has none but matches few rows, those are fetched and sorted.
All other conditions are checked row by row.
`docs/decisions/list-queries-start-from-the-most-selective-filter.md` explains why, and which
queries stay slow.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Any, Final

from functions.status.listing.filters import Filters
from functions.status.listing.prompt_index import PromptIndex
from functions.status.listing.schema import SortKey

# This many rows are counted, fetched and sorted in a few milliseconds.
MAX_SORTED_ROWS: Final = 2000
# Of each row: the sort key, and which message tells the video's state.
_COLUMNS: Final = "v.created, v.id, v.row_id, v.request_seq, v.event_seq"


@dataclass(frozen=True)
class PageOrder:
    """The sort order of the list, and the cursor: the sort key after which the page starts."""

    newest_first: bool
    cursor: SortKey | None = None


@dataclass(frozen=True)
class _Sql:
    """A part of a statement, and the values of its parameters."""

    text: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Condition:
    """One filter, as a predicate and as the two ways in which it can drive a query.

    Attributes:
        predicate: whether a row `v` of `videos` matches.
        matching_rows: selects the `row_id` of all matching rows; empty without an index for it.
        ordered_scan: a FROM clause that yields the matching rows in list order; None without an
            index for it.
        sort_alias: the table of `ordered_scan` that has the columns of the sort key.
    """

    predicate: _Sql
    matching_rows: _Sql = _Sql("")
    ordered_scan: _Sql | None = None
    sort_alias: str = "v"


def select_page(
    db: sqlite3.Connection, account: str, filters: Filters, order: PageOrder, limit: int
) -> list[sqlite3.Row]:
    """At most `limit` rows of `account` that match `filters`, in `order`: see `_COLUMNS`."""
    if len(filters.statuses) <= 1:
        return _select(db, account, filters, order, limit)
    # Each status has an ordered index of its own: merge the first rows of each.
    rows = [
        row
        for status in filters.statuses
        for row in _select(db, account, replace(filters, statuses=(status,)), order, limit)
    ]
    rows.sort(key=lambda row: (row["created"], row["id"]), reverse=order.newest_first)
    return rows[:limit]


def _select(
    db: sqlite3.Connection, account: str, filters: Filters, order: PageOrder, limit: int
) -> list[sqlite3.Row]:
    conditions = [*_filter_conditions(db, account, filters), _listed(account, filters, order)]
    driving = _driving_condition(db, conditions)
    predicates = [condition.predicate for condition in conditions]
    if driving.ordered_scan is not None:
        source, alias = driving.ordered_scan, driving.sort_alias
    else:
        source, alias = _Sql("videos AS v NOT INDEXED"), "v"
        rows = driving.matching_rows
        predicates.append(_Sql(f"v.row_id IN ({rows.text})", rows.values))
    predicates.append(_key_range(alias, filters, order))
    direction = "DESC" if order.newest_first else "ASC"
    parts = [
        _Sql(f"SELECT {_COLUMNS} FROM"),
        source,
        _Sql("WHERE v.account = ? AND v.event != 'deleted'", (account,)),
        *(_Sql(f"AND {predicate.text}", predicate.values) for predicate in predicates),
        _Sql(f"ORDER BY {alias}.created {direction}, {alias}.id {direction} LIMIT ?", (limit,)),
    ]
    statement = " ".join(part.text for part in parts)
    return db.execute(statement, [v for part in parts for v in part.values]).fetchall()


def _driving_condition(db: sqlite3.Connection, conditions: list[_Condition]) -> _Condition:
    """The most selective condition, or one with an ordered scan if all match many rows."""
    if len(conditions) == 1:
        return conditions[0]
    counts = [_count_matches(db, condition) for condition in conditions]
    fewest, best = min(zip(counts, conditions, strict=True), key=lambda pair: pair[0])
    if fewest < MAX_SORTED_ROWS or best.ordered_scan is not None:
        return best
    return next(condition for condition in conditions if condition.ordered_scan is not None)


def _count_matches(db: sqlite3.Connection, condition: _Condition) -> int:
    """The number of matching rows, counted up to `MAX_SORTED_ROWS`."""
    rows = condition.matching_rows
    if not rows.text:
        return MAX_SORTED_ROWS
    text = f"SELECT count(*) FROM ({rows.text} LIMIT {MAX_SORTED_ROWS})"  # noqa: S608 - of constants
    return int(db.execute(text, rows.values).fetchone()[0])


def _filter_conditions(db: sqlite3.Connection, account: str, filters: Filters) -> list[_Condition]:
    conditions = [_has_pair(account, name, value) for name, value in filters.metadata.items()]
    conditions += [_has_status(account, status) for status in filters.statuses]
    if filters.text:
        conditions.append(_has_text(db, account, filters.text))
    return conditions


def _listed(account: str, filters: Filters, order: PageOrder) -> _Condition:
    """The condition of every query: not deleted, in the time range, and after the cursor."""
    key_range = _key_range("v", filters, order)
    rows = (
        "SELECT v.row_id FROM videos AS v INDEXED BY by_created"
        " WHERE v.account = ? AND v.event != 'deleted'"
    )
    return _Condition(
        predicate=_Sql("TRUE"),
        matching_rows=_Sql(f"{rows} AND {key_range.text}", (account, *key_range.values)),
        ordered_scan=_Sql("videos AS v INDEXED BY by_created"),
    )


def _key_range(alias: str, filters: Filters, order: PageOrder) -> _Sql:
    """The predicate that the sort key is in the time range and after the cursor."""
    first, last = filters.created_from, filters.created_until - 1
    text = f"{alias}.created BETWEEN ? AND ?"
    if order.cursor is None:
        return _Sql(text, (first, last))
    # The range repeats the cursor's bound, because SQLite does not seek by the row value.
    if order.newest_first:
        last, beyond = min(last, order.cursor[0]), "<"
    else:
        first, beyond = max(first, order.cursor[0]), ">"
    after_cursor = f"({alias}.created, {alias}.id) {beyond} (?, ?)"
    return _Sql(f"{text} AND {after_cursor}", (first, last, *order.cursor))


def _has_pair(account: str, name: str, value: str) -> _Condition:
    pair = "p.account = ? AND p.name = ? AND p.value = ?"
    values = (account, name, value)
    return _Condition(
        predicate=_Sql(
            f"EXISTS (SELECT 1 FROM metadata_pairs AS p WHERE {pair}"  # noqa: S608 - of constants
            " AND p.created = v.created AND p.id = v.id)",
            values,
        ),
        matching_rows=_Sql(f"SELECT p.row_id FROM metadata_pairs AS p WHERE {pair}", values),  # noqa: S608 - of constants
        ordered_scan=_Sql(
            "metadata_pairs AS driving CROSS JOIN videos AS v"
            f" ON v.row_id = driving.row_id AND {pair.replace('p.', 'driving.')}",
            values,
        ),
        sort_alias="driving",
    )


def _has_status(account: str, status: str) -> _Condition:
    return _Condition(
        predicate=_Sql("v.status = ?", (status,)),
        matching_rows=_Sql(
            "SELECT v.row_id FROM videos AS v INDEXED BY by_status"
            " WHERE v.account = ? AND v.event != 'deleted' AND v.status = ?",
            (account, status),
        ),
        ordered_scan=_Sql("videos AS v INDEXED BY by_status"),
    )


def _has_text(db: sqlite3.Connection, account: str, text: str) -> _Condition:
    predicate = _Sql("instr(v.prompt, ?) > 0", (text,))
    search = PromptIndex(db).matching_rows(account, text)
    return _Condition(predicate) if search is None else _Condition(predicate, _Sql(*search))
