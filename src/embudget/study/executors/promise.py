"""A driver's promise that further runs will come, kept while it decides them: idle workers wait for them meanwhile.

To decide a round may take minutes, as where models are timed first. So a thread keeps the promise, as `Claims` keeps
its leases: it ends with the driver, however that ends, or when the driver says so.
"""

import threading
from contextlib import suppress

from embudget.errors import StoreError
from embudget.study.claims import BEAT_SECONDS
from embudget.study.store import Store


class Promise:
    """A promise that may be made and ended again and again.

    Args:
        store: whose idle workers wait.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def make(self) -> None:
        """Have idle workers wait from now on; nothing changes where they do."""
        if self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._keep, args=(self._stop,), daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Have idle workers leave; where the store is in trouble, they do when the promise is no longer renewed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _keep(self, stop: threading.Event) -> None:
        with suppress(StoreError), self._store.leases() as leases:
            while not stop.is_set():
                with suppress(StoreError):  # the next one may pass before the lease ends
                    leases.promise_more(stop)
                stop.wait(min(BEAT_SECONDS, leases.seconds / 4))
