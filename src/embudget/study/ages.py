"""How old is a lease, by the clock of the database's server? As expressions of a row of the leases.

The server is asked for its time in a subquery, which it computes once for a statement. Computed for each of 1,000
leases, it took more time than all else of a claim.
"""

from typing import Any

from sqlalchemy import ColumnElement, Double, case, cast, extract, func, literal, select

from embudget.study.database import Database
from embudget.study.tables import LEASES


def age(database: Database) -> "ColumnElement[Any]":
    """Seconds since a lease was renewed; NULL where no server has a clock.

    It does not grow while the server is down, because then nobody can renew a lease.
    """
    now = database.now
    if now is None:
        return cast(None, Double)
    since, up = select(now).scalar_subquery() - LEASES.c.renewed, select(_up(database)).scalar_subquery()
    return case((up < since, up), else_=since)


def is_held(database: Database, seconds: float) -> "ColumnElement[bool]":
    """Whether somebody has a lease, and it is not older than so many seconds, as far as a server's clock knows."""
    now = database.now
    if now is None:
        return LEASES.c.token != ""
    oldest = case((_up(database) <= seconds, 0.0), else_=now - seconds)
    return (LEASES.c.token != "") & func.coalesce(LEASES.c.renewed >= select(oldest).scalar_subquery(), True)


def _up(database: Database) -> "ColumnElement[Any]":
    """Seconds since the server was started; more than any lease's where it does not tell."""
    if database.dialect == "postgresql":
        return cast(extract("epoch", func.clock_timestamp() - func.pg_postmaster_start_time()), Double)
    return literal(1e300)
