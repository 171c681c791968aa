"""Copying a store into another database: a study that was begun on one machine goes on on a cluster, or comes back.

Records keep their order, runs their place in the queue, and how often they lost their workers stays known. The target
gets all of it in one transaction.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, delete, insert, select

from embudget.errors import StoreError
from embudget.reading import parse_json
from embudget.records import RunRecord
from embudget.study.database import Database, in_parts
from embudget.study.tables import LEASES, PLACES, QUEUE, RESULTS, RUNS, bring_up_to_date, is_up_to_date

Rows = dict[str, dict[str, Any]]
"""Rows of a table by their ids."""


class Copied(NamedTuple):
    """What a copy has added to its target, and what it found there."""

    records: int
    queued: int
    losses: int
    """Number of runs of which the target now knows how often they lost their worker."""
    records_there: int
    """Number of the source's records whose runs had one there already."""
    queued_there: int
    """Number of the source's queued runs that were queued there already."""


def copy_rows(source: Database, target: Database) -> Copied:
    """Copy what a store holds into another one that holds nothing else.

    The target may hold some of it already, or all of it and more, where the study has gone on there. A failed run makes
    way for the record of the same run that ended well.

    Raises:
        StoreError: the target holds runs that the source does not have, or other records of the same runs.
    """
    found = source.read(_rows)

    def write(connection: Connection) -> Copied:
        bring_up_to_date(connection)
        there = _rows(connection)
        runs = _records_to_add(found["runs"], there["runs"], str(source.location), str(target.location))
        recorded = there["runs"].keys() | runs.keys()
        queued = {run: row for run, row in found["queue"].items() if run not in recorded | there["queue"].keys()}
        lost = {
            run: row | {"token": "", "beat": 0, "renewed": None, "process": ""}
            for run, row in found["leases"].items()
            if row["losses"] and run not in recorded | there["leases"].keys()
        }
        _insert(connection, RUNS, runs)
        _insert(connection, RESULTS, {run: row for run, row in found["results"].items() if run in runs})
        _insert(connection, QUEUE, queued)
        _insert(connection, LEASES, lost)
        places = {row["place"] for row in queued.values()} - there["places"].keys()
        _insert(connection, PLACES, {name: found["places"][name] for name in places})
        for some in in_parts(runs):  # queued there before they had their records here
            connection.execute(delete(QUEUE).where(QUEUE.c.id.in_(some)))
        waiting = found["queue"].keys() & there["queue"].keys() - recorded
        return Copied(len(runs), len(queued), len(lost), len(found["runs"]) - len(runs), len(waiting))

    return target.write(write)


def _rows(connection: Connection) -> dict[str, Rows]:
    """All rows of a store, by their tables; an older format has no queue, and leases of no use."""
    tables = (RUNS, QUEUE, PLACES, LEASES, RESULTS) if is_up_to_date(connection) else (RUNS,)
    rows = {
        table.name: {row["id"]: dict(row) for row in connection.execute(select(table)).mappings()} for table in tables
    }
    return {table.name: rows.get(table.name, {}) for table in (RUNS, QUEUE, PLACES, LEASES, RESULTS)}


def _records_to_add(found: Rows, there: Rows, source: str, target: str) -> Rows:
    """The records that the target lacks, and those that take the place of failed runs.

    Raises:
        StoreError: the two stores are of different studies.
    """
    if not (found.keys() <= there.keys() or there.keys() <= found.keys()):
        other = min(there.keys() - found.keys())
        raise StoreError(
            f"{target} holds other runs than {source}, such as {other}: copy to a store that is empty or holds a copy"
        )
    adding = {}
    for run, row in found.items():
        if run not in there:
            adding[run] = row
        elif row["record"] == there[run]["record"] or row["status"] == "failed":
            continue
        elif there[run]["status"] == "failed":
            adding[run] = row
        elif _record(row, source) != _record(there[run], target):
            raise StoreError(
                f"{target} holds another record of the run {run} than {source}: copy to a store that is empty or holds "
                "a copy"
            )
    return adding


def _record(row: Mapping[str, Any], store: str) -> RunRecord:
    where = f"{store}: run {row['id']}"
    return RunRecord.read(parse_json(row["record"], where, StoreError), where, StoreError)


def _insert(connection: Connection, table: Table, rows: Rows) -> None:
    for some in in_parts(rows):
        if table in (RUNS, RESULTS):  # those that failed make way
            connection.execute(delete(table).where(table.c.id.in_(some)))
        connection.execute(insert(table), [rows[run] for run in some])
