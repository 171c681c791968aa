"""Uploading checkpoints while the training goes on.

A thread uploads each checkpoint once it is whole, so that training does not wait; if a newer one is there before that
is done, those in between are left out. While the URL cannot be written the training goes on with a warning, and the
newest checkpoint is tried again until it is there.
"""

import logging
import os
import shutil
import threading
import time
from itertools import count
from pathlib import Path

from embudget.errors import RemoteError
from embudget.training.mirror import UPLOAD_PATIENCE, Mirror

LOG = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds between two attempts at an upload that fails."""
AT_END, AT_STOP = 120.0, 5.0
"""Seconds for the last checkpoint to reach its mirror: behind a trunk, and at a signal, which leaves 10 s on Slurm."""


class Uploads:
    """The uploads of one run's checkpoints, in a thread that starts with the first of them.

    Args:
        mirror: where to.
        run: the folder of the run.
    """

    def __init__(self, mirror: Mirror, run: str) -> None:
        self._mirror, self._run = mirror, run
        self._folder = mirror.folder / run / f"uploading-{os.getpid()}"
        self._numbers = count()
        self._next: Path | None = None
        self._busy = False
        self._failure: str | None = None
        self._change = threading.Condition()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, step: Path) -> None:
        """Have a whole checkpoint uploaded, in the place of an older one that waits.

        Its files are linked into a folder of their own, so that newer checkpoints may displace it meanwhile: the same
        step too, which a trunk writes again where a branch leaves it. Where that is not possible it is left out, with
        a warning.
        """
        linked = self._folder / str(next(self._numbers)) / step.name
        try:
            shutil.copytree(step, linked, copy_function=_link)
        except OSError as error:
            LOG.warning("cannot upload a checkpoint, as %s cannot be made: %s", linked, error.strerror or error)
            return
        with self._change:
            if self._next is not None:
                shutil.rmtree(self._next.parent, ignore_errors=True)
            self._next = linked
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"upload of {self._run}", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until all is uploaded, for so many seconds at most; return whether it is."""
        until = time.monotonic() + seconds
        with self._change:
            self._change.notify_all()  # one that failed is tried again at once
            while (self._next is not None or self._busy) and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
            return self._next is None and not self._busy

    def end(self, seconds: float = 0.0) -> None:
        """Upload nothing more after so many seconds.

        What is under way then still ends, but is not waited for where the URL is in trouble.
        """
        self.wait(seconds)
        with self._change:
            self._next = None
            self._ending.set()
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(2 * UPLOAD_PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self) -> None:
        pause = 1.0
        while True:
            with self._change:
                while self._next is None and not self._ending.is_set():
                    self._change.wait()
                if self._next is None:
                    return
                step, self._next, self._busy = self._next, None, True
            done = self._upload(step)
            with self._change:
                self._busy = False
                if not done and self._next is None and not self._ending.is_set():
                    self._next = step
                elif self._next != step:
                    shutil.rmtree(step.parent, ignore_errors=True)
                self._change.notify_all()
                if not done and self._next == step and not self._ending.is_set():
                    self._change.wait(pause)  # a newer one, or the end, comes at once
            pause = 1.0 if done else min(2 * pause, LONGEST_PAUSE)

    def _upload(self, step: Path) -> bool:
        """Upload a checkpoint and return whether that was possible; warn once of what lasts."""
        try:
            self._mirror.put(self._run, step, self._ending)
        except (RemoteError, OSError) as error:
            if self._failure is None and not self._ending.is_set():
                LOG.warning("cannot upload a checkpoint: %s; training goes on, and the next one makes up for it", error)
            self._failure = str(error)
            return False
        if self._failure is not None:
            LOG.warning("checkpoints are uploaded to %s again", self._mirror.url)
        self._failure = None
        return True


def _link(source: str, target: str) -> None:
    """Link a file, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
