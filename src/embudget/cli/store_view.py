"""What a screen shows of a store: looked up now and then beside the work, which never waits for it."""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn

from embudget.cli.progress_table import progress_table
from embudget.errors import StoreError
from embudget.study import Store
from embudget.study.progress import StoreProgress

LOOK_SECONDS = 3.0
"""Time between two looks at the store."""


class StoreView:
    """Looks at a store in a thread of its own.

    Args:
        location: the file or URL of the store, which may not be there yet; it is opened a second time here.
        workers: runs that are trained at a time.
    """

    def __init__(self, location: str | Path, workers: int | None = None) -> None:
        self._location, self._workers = location, workers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self.latest: StoreProgress | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look under way is not waited for."""
        self._stop.set()

    def _look_on(self) -> None:
        reader: Callable[[int | None], StoreProgress] | None = None
        with ExitStack() as at_end:
            while not self._stop.wait(0.5 if reader is None else LOOK_SECONDS):
                with suppress(StoreError, OSError):  # it is not there yet, or in trouble: whoever works with it says so
                    if reader is None:
                        reader = at_end.enter_context(Store(self._location, create=False)).progress().look
                    self.latest = reader(self._workers)


class StoreBars(Progress):
    """Bars with a table of the store's runs below them; silent where nobody watches.

    Args:
        columns: of the bars.
        view: looks at the store; without one there is no table.
        rounds: whether further runs are decided when these have ended, so that their time left is not all.
    """

    def __init__(self, *columns: ProgressColumn, view: StoreView | None = None, rounds: bool = False) -> None:
        console = Console(stderr=True)
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._view, self._rounds = view, rounds

    @property
    def seconds_left(self) -> float | None:
        """Until all runs of the store have ended; None where it is not known, or not looked up."""
        latest = self._view.latest if self._view is not None else None
        return None if latest is None else latest.seconds_left

    def start(self) -> None:
        """Show the bars, and begin to look at the store."""
        super().start()
        if self._view is not None and not self.disable:
            self._view.start()

    def stop(self) -> None:
        """Take them off the screen."""
        if self._view is not None:
            self._view.stop()
        super().stop()

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, and the table once the store has been looked at."""
        yield from super().get_renderables()
        # a view of a thread: bars are drawn before __init__ has ended, too
        view = getattr(self, "_view", None)
        if view is not None and view.latest is not None:
            yield progress_table(view.latest, self.console.width, self.console.height - 2, self._rounds)
