"""Signals that end a run: what was trained is kept, and what was kept is said.

SIGINT (Ctrl-C), SIGTERM (a preempted node) and SIGHUP (a closed terminal) raise `Interrupted` at the next line of
Python, in the middle of a step too; whoever changes what a checkpoint holds puts them off meanwhile (`deferred`).
Python swallows an exception that falls into a destructor, so a signal is also remembered until it is heeded
(`raise_pending`). Handlers that somebody else has set are left alone.
"""

import ctypes
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

SIGNALS: tuple[int, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


_PR_SET_PDEATHSIG = 1


class Interrupted(KeyboardInterrupt):
    """A signal asked to end; its notes say what was saved. ``signal`` is its number.

    It came ``together`` where all processes of a run have it behind the same step.
    """

    def __init__(self, number: int, together: bool = False) -> None:
        super().__init__(f"signal {number}")
        self.signal = number
        self.together = together


_depth = 0
_blocks = 0
_pending: int | None = None
_first: int | None = None
_told: str | None = None
_together = False


def on_signal(number: int, frame: object) -> None:
    """Handle a signal: raise it, or remember it where it is put off."""
    global _pending, _first
    if number == getattr(signal, "SIGHUP", None):
        _leave_dead_terminals()
    _pending = number
    _first = _first or number
    if not _depth and not _together:
        raise Interrupted(number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the signals raise `Interrupted` for the length of a with block, where nobody else minds or ignores them.

    What came before the outermost of such blocks is forgotten, and a signal that ends it is heeded: in a notebook the
    next run must not hear of it.
    """
    global _blocks, _first, _told, _together
    if not _blocks:
        _first = _told = None
        _together = False
    _blocks += 1
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    except KeyboardInterrupt:
        if _blocks == 1:
            heed()
        raise
    finally:
        _blocks -= 1
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def interruptible_run() -> Iterator[None]:
    """As `interruptible`, for a run: that nothing of it is kept is said where nobody says that something is."""
    global _told
    with interruptible():
        _told = None
        try:
            yield
        except KeyboardInterrupt as error:
            tell(error, "nothing was saved: training had not begun")
            raise


@contextmanager
def deferred() -> Iterator[None]:
    """Put signals off to the end of a with block; an error of the block goes before them."""
    global _depth
    if threading.current_thread() is not threading.main_thread():  # it gets no signals
        yield
        return
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
    raise_pending()


def raise_pending() -> None:
    """Raise a signal that was put off, or swallowed by Python, and has not been heeded yet."""
    if _pending is not None and not _depth and threading.current_thread() is threading.main_thread():
        number = _pending
        heed()
        raise Interrupted(number)


def raise_together(number: int) -> None:
    """Raise a signal that all processes of a run have heard of, so that all of them end here.

    Their own signals come at slightly different times; one that comes later asks for the same, and must not keep this
    process from writing its part of the last checkpoint.
    """
    global _together
    _together = True
    raise Interrupted(number, together=True)


def pending() -> int:
    """The signal that waits to be heeded, 0 if there is none."""
    return _pending or 0


def heed() -> None:
    """Forget the signal that waits: it is being acted on."""
    global _pending
    _pending = None


@contextmanager
def breakable(parameters: Sequence[Any]) -> Iterator[None]:
    """Let a signal break off a backward pass, which is one long call: each parameter's gradient runs a line of Python.

    On a GPU another thread runs it, and a signal waits for its end.
    """
    handles = [parameter.register_hook(_breathe) for parameter in parameters]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _breathe(gradient: object) -> None:
    pass


def tell(error: BaseException | None, text: str) -> None:
    """Say what became of an interrupted run: the first to say it knows best."""
    global _told
    if _told is None:
        _told = text
        if error is not None:
            error.add_note(text)


def told() -> str | None:
    """What was said about the interrupted run, if anything."""
    return _told


def forget() -> None:
    """Begin as a program does to which no signal has come."""
    global _told, _first
    _told = _first = None
    heed()


def came() -> int | None:
    """The first signal that came, if any did."""
    return _first


def end_with(parent: int) -> None:
    """Have Linux send this process SIGTERM when its parent is gone, however that ended.

    Args:
        parent: the number of the parent's process.

    Raises:
        Interrupted: it is gone already.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        raise Interrupted(signal.SIGTERM)


def _leave_dead_terminals() -> None:
    """Let what is still written to a terminal that has been closed go nowhere, instead of failing."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
                os.dup2(nowhere, stream)
        os.close(nowhere)
