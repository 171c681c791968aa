"""`--report FILE` of `sweep` and `spend`: the page of the study, kept up to date beside the training.

A process of its own writes it, at a low priority and on one thread: fitting laws takes seconds of Python, in which the
training would stand still. It ends with its parent, however that ends, and nothing it meets stops the training.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.console import note
from embudget.contents import PAGE
from embudget.errors import ConfigError, StoreError, first_line
from embudget.files import real_path
from embudget.outputs import Input, check_file_output, shown_path

Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Keep the page of `embudget report` up to date in this file; it is rewritten at most every 30 seconds.",
    ),
]
_POSIX = hasattr(signal, "pthread_sigmask")
LAST_SECONDS = 300.0
"""Time for the last page when all runs have ended; fitting the laws of 100,000 runs takes a minute."""


def check_page(page: Path | None, inputs: Iterable[Input], own: Iterable[Path], folder: Path | None = None) -> None:
    """Refuse, before anything is trained, a file that is no page or that the command needs for something else.

    Args:
        page: the file.
        inputs: what the command reads.
        own: what it will write besides, which may not be there yet.
        folder: that it makes; the page may lie in it.

    Raises:
        ConfigError: says which rule it breaks.
    """
    if page is None:
        return
    target = real_path(page)
    for place in map(real_path, own):
        if target == place or place in target.parents:
            raise ConfigError(
                f"report must be a file of its own, got {shown_path(page)}: {place.name} is for the command itself"
            )
    if folder is not None and not folder.exists() and target.parent == real_path(folder):
        return
    check_file_output(page, PAGE, inputs, "report")


@contextmanager
def kept_up_to_date(page: Path | None, store: str) -> Iterator[None]:
    """Keep a page up to date as long as the block lasts, and write it a last time at its end; without one do nothing.

    A block that ends by an error or a signal leaves the page as it was last written.

    Args:
        page: the file, checked by `check_page`.
        store: path or URL of the store, which may not be there yet.
    """
    if page is None:
        yield
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_keep, args=(theirs, page, store), daemon=True)
    # Ctrl-C reaches the whole group, and must not break it off while it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _POSIX else None
    try:
        process.start()
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(ours, page, ended), daemon=True)
    teller.start()
    try:
        yield
        with suppress(OSError):  # it has ended, which was said
            ours.send(None)
        teller.join(LAST_SECONDS)
    finally:
        ended.set()
        _end(process)
        teller.join()
        ours.close()


def _end(process: BaseProcess) -> None:
    """End a process that has nothing to lose: a page is written whole or not at all."""
    process.terminate()
    process.join(5)
    process.kill()
    process.join()


def _tell(connection: Connection, page: Path, ended: threading.Event) -> None:
    """Say what the process has to say, and that it is gone where nobody has ended it."""
    try:
        while (said := connection.recv()) is not None:
            note(said)
    except (EOFError, OSError):
        if not ended.is_set():
            note(f"embudget: {page} is no longer kept up to date, since the process that did so was killed")


def _keep(connection: Connection, page: Path, store: str) -> None:
    """Write the page, in a process of its own, until the parent says that it ends, or is gone."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if _POSIX:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with suppress(OSError, AttributeError):
        os.nice(10)
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            connection.send(text)

    with suppress(OSError):  # the parent is gone
        try:
            with threadpool_limits(1):
                _write_on(connection, page, store, tell)
        except Exception as error:  # a bug, which must not end a night's training
            tell(f"embudget: {page} is no longer kept up to date: {type(error).__name__}: {first_line(error)}")
        connection.send(None)


def _write_on(connection: Connection, page: Path, store: str, tell: Callable[[str], None]) -> None:
    """Write the page of a store that may not be there yet; trouble with it is said by whoever works with it."""
    from embudget.report.live import LOOK_SECONDS, live_pages
    from embudget.study import Store

    stop = False

    def wait(seconds: float) -> bool:
        nonlocal stop
        stop = connection.poll(seconds)  # a word of the parent, or its end
        return stop

    while True:
        last = stop
        try:
            with Store(store, create=False) as opened:
                for written in live_pages(page, opened, wait=wait, until_over=False):
                    if written.failure:
                        tell(f"embudget: {written.failure}; the training goes on, and the page is tried again")
            return
        except StoreError as error:
            if last:
                tell(f"embudget: {page} was not written: {error}")
                return
        wait(LOOK_SECONDS)
