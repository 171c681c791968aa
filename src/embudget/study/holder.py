"""Who holds a lease: how a process is named, and when it is known to have ended.

A process's number alone says nothing. Another process may have it since, and containers that share the name of their
host have process tables of their own. So a process is named by its machine's boot, its process table, its number and
when it started. Only of a process in our own table do we know anything.
"""

import json
import os
import socket
from functools import cache
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TABLE = Path("/proc/self/ns/pid")


def name_process() -> str:
    """Name this process, as JSON of at most 255 characters; without what cannot be read, so that nobody knows it."""
    return _named(os.getpid())


@cache
def _named(pid: int) -> str:
    said = _said_of(pid)
    return json.dumps({"where": _where(), "pid": pid, "start": said[1] if said else None})


def is_running(name: str | None) -> bool | None:
    """Whether a process is running, by its name; None if that is not known here."""
    try:
        where, pid, start = (json.loads(name or "")[key] for key in ("where", "pid", "start"))
    except (ValueError, LookupError, TypeError):
        return None
    if not where or where != _where() or not isinstance(pid, int) or start is None:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    except (OSError, OverflowError):
        return None
    said = _said_of(pid)
    if said is None:  # some machines hide other users' processes
        return None
    state, began = said
    return began == start and state not in ("Z", "X")


def _where() -> list[str] | None:
    """Host, boot and process table; None if any of them cannot be read. Restored machines share boots, not names."""
    try:
        return [socket.gethostname()[:64], _BOOT.read_text().strip()[:64], str(_TABLE.readlink())[:32]]
    except OSError:
        return None


def _said_of(pid: int) -> tuple[str, int] | None:
    """State of a process, and the tick at which it started."""
    try:
        # the second field is the program's name in brackets, which may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
