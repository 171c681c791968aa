"""Which errors of a database pass by themselves, so that it is worth asking again: locks, restarts, lost lines."""

import sqlite3

from sqlalchemy.exc import DBAPIError, TimeoutError

_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_STATES = ("08", "40", "53300", "53400", "55P03", "57P01", "57P02", "57P03", "42P07", "42710")
"""Beginnings of SQLSTATE: lost connections, transactions that met another, too many clients, locks, restarts, and
tables that another start has made between our look and our try."""
_MYSQL = {1040, 1053, 1205, 1213, 2002, 2003, 2006, 2013}
_PHRASES = (
    "starting up", "shutting down", "in recovery mode", "too many clients", "too many connections",
    "remaining connection slots", "deadlock",
)  # fmt: skip
_UNREACHABLE = (
    "connection refused", "connection reset", "closed the connection", "connection was closed", "connection is closed",
    "connection timeout", "timed out", "timeout expired", "terminating connection", "no route to host",
    "network is unreachable", "connection failed", "could not connect", "can't connect", "lost connection",
    "gone away", "broken pipe", "ssl connection has been closed", "ssl syscall error", "name resolution",
    "no such file or directory",
)  # fmt: skip
_FINAL = ("password", "authentication", "does not exist", "no pg_hba.conf entry", "permission denied", "access denied")


def passes(error: Exception, answered: bool) -> bool:
    """Whether an error may pass within minutes.

    Args:
        error: what SQLAlchemy raised.
        answered: whether the database has answered before; else one that cannot be reached has rather a wrong address.
    """
    if isinstance(error, TimeoutError):  # no connection of the pool is free
        return True
    if not isinstance(error, DBAPIError) or error.orig is None:
        return False
    cause, said = error.orig, str(error.orig).lower()
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state:
        return str(state).startswith(_STATES)
    if any(phrase in said for phrase in _PHRASES):
        return True
    if any(phrase in said for phrase in _FINAL):
        return False
    number = cause.args[0] if getattr(cause, "args", ()) else None
    lost = error.connection_invalidated or number in _MYSQL or any(phrase in said for phrase in _UNREACHABLE)
    return answered and lost
