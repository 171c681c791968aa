"""Checkpoints at a URL: a mirror of those in a local folder, from which any other machine goes on.

The local folder works as without one. A thread uploads each checkpoint once it is whole, so that training does not
wait; if a newer one is there before that is done, those in between are left out. While the URL cannot be written the
training goes on with a warning, and the newest checkpoint is tried again until it is there. A run begins by fetching
the newest whole checkpoint, if that is newer than its own.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from embudget.cache import cache_folder
from embudget.errors import DamagedError, RemoteError
from embudget.parts import claimed
from embudget.remote import check_writable_url, place_of, put_folder, read_manifest, remove_folder
from embudget.remote.attempts import attempt
from embudget.remote.fetching import fetch_files
from embudget.remote.folders import names_in

LOG = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints of a run that stay, in its local folder and at the URL."""
UPLOAD_PATIENCE, REMOVE_PATIENCE, LONGEST_PAUSE = 20.0, 30.0, 60.0
_STEP = re.compile(r"step-(\d{9})")


def step_name(step: int) -> str:
    """The folder of a checkpoint, within that of its run."""
    return f"step-{step:09d}"


class Mirror(NamedTuple):
    """The checkpoints of all runs, in a local folder and at a URL; each run or trunk has a folder of its own."""

    folder: Path
    url: str

    def newest_step(self, run: str) -> int:
        """The step of the newest whole checkpoint of a run at the URL; -1 where there is none, or no answer."""
        try:
            return next((step for step in self._steps(run, REMOVE_PATIENCE) if self._is_whole(run, step)), -1)
        except RemoteError as error:
            LOG.warning("%s", error)
            return -1

    def fetch_newer(self, run: str, numbers: str, of_use: Callable[[dict[str, Any]], bool] = lambda said: True) -> None:
        """Fetch the newest whole checkpoint of a run, if it is newer than those in its local folder.

        Several processes of a machine may ask at once: the first fetches. A full disk of this machine is a warning, and
        the run goes on from what is there.

        Args:
            run: its folder.
            numbers: the file of a checkpoint that holds its ``numbers`` as JSON.
            of_use: whether the run can go on from a checkpoint with these numbers.

        Raises:
            RemoteError: the URL cannot be read, which does not pass.
        """
        for step in self._steps(run):
            local = self.folder / run
            if step <= max(_local_steps(local), default=-1):
                return
            try:
                if not self._is_whole(run, step) or not of_use(self._numbers(run, step, numbers)):
                    continue
                self._fetch(run, step)
            except DamagedError as error:
                LOG.warning("a checkpoint is passed over: %s", error)
            else:
                return

    def put(self, run: str, step: Path, stop: threading.Event | None = None) -> None:
        """Put a checkpoint that lies in a folder of this machine, and remove the oldest ones there.

        Raises:
            RemoteError: it cannot be written; earlier ones are then untouched.
            OSError: it cannot be read here.
        """
        put_folder(step, f"{self.url}/{run}/{step.name}", patience=UPLOAD_PATIENCE, stop=stop)
        self.trim(run, KEPT)

    def trim(self, run: str, keep: int) -> None:
        """Leave the newest checkpoints of a run at the URL, and those that are being written behind them.

        Raises:
            RemoteError: the URL cannot be listed or written.
        """
        whole = [step for step in self._steps(run, REMOVE_PATIENCE) if self._is_whole(run, step)][:keep]
        for step in self._steps(run, REMOVE_PATIENCE):
            if len(whole) == keep and step < whole[-1]:
                remove_folder(f"{self.url}/{run}/{step_name(step)}", REMOVE_PATIENCE)

    def remove(self, run: str) -> None:
        """Remove all checkpoints of a run at the URL; where that fails they are left, with a warning."""
        try:
            remove_folder(f"{self.url}/{run}", REMOVE_PATIENCE)
        except RemoteError as error:
            LOG.warning("checkpoints of a run that has ended are left behind: %s", error)

    def _steps(self, run: str, patience: float | None = None) -> list[int]:
        """Steps of which something lies at the URL, newest first."""
        folders = (name.partition("/")[0] for name in names_in(f"{self.url}/{run}", patience))
        return sorted({int(found[1]) for name in folders if (found := _STEP.fullmatch(name))}, reverse=True)

    def _is_whole(self, run: str, step: int) -> bool:
        manifest = read_manifest(f"{self.url}/{run}/{step_name(step)}", REMOVE_PATIENCE)
        return manifest is not None and manifest.whole

    def _numbers(self, run: str, step: int, file: str) -> dict[str, Any]:
        place = f"{self.url}/{run}/{step_name(step)}/{file}"
        content: bytes = attempt(place, "read", lambda fs, path: fs.cat_file(path))
        try:
            said: dict[str, Any] = json.loads(content)["numbers"]
            return said
        except (ValueError, LookupError, TypeError):
            raise DamagedError(f"{place} cannot be read as JSON") from None

    def _fetch(self, run: str, step: int) -> None:
        """Fetch a checkpoint under a temporary name, and give it its own once it is known to be whole."""
        place, local = f"{self.url}/{run}/{step_name(step)}", self.folder / run / step_name(step)
        manifest = read_manifest(place)
        if manifest is None or not manifest.whole:
            raise DamagedError(f"{place} was removed or is written anew")
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            with claimed(local) as part:
                part.new.mkdir()
                fetch_files(place, part.new, manifest.files)
                with suppress(OSError):  # another process of this machine was faster
                    part.new.rename(local)
        except OSError as error:
            LOG.warning("cannot fetch a checkpoint into %s: %s; going on without it", local, error.strerror or error)


class Uploads:
    """The uploads of one run's checkpoints, in a thread that starts with the first of them.

    Args:
        mirror: where to.
        run: the folder of the run.
    """

    def __init__(self, mirror: Mirror, run: str) -> None:
        self._mirror, self._run = mirror, run
        self._folder = mirror.folder / run / f"uploading-{os.getpid()}"
        self._next: Path | None = None
        self._busy = False
        self._failure: str | None = None
        self._change = threading.Condition()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, step: Path) -> None:
        """Have a whole checkpoint uploaded, in the place of an older one that waits.

        Its files are linked into a folder of their own, so that newer checkpoints may displace it meanwhile. Where that
        is not possible it is left out, with a warning.
        """
        linked = self._folder / step.name
        shutil.rmtree(linked, ignore_errors=True)
        try:
            shutil.copytree(step, linked, copy_function=_link)
        except OSError as error:
            LOG.warning("cannot upload a checkpoint, as %s cannot be made: %s", linked, error.strerror or error)
            return
        with self._change:
            if self._next is not None:
                shutil.rmtree(self._next, ignore_errors=True)
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

    def end(self) -> None:
        """Upload nothing more. What is under way ends first, but is not waited for where the URL is in trouble."""
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
                    shutil.rmtree(step, ignore_errors=True)
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


def checkpoints_at(place: str | Path) -> tuple[Path, Mirror | None]:
    """The local folder of checkpoints that a user asks for, and its mirror where that is a URL.

    The local folder of a URL lies in the cache folder, and has the URL's name there.

    Raises:
        RemoteError: it is a URL that cannot be written.
    """
    named = place_of(place)
    if isinstance(named, Path):
        return named, None
    check_writable_url(named)
    folder = cache_folder() / "checkpoints" / hashlib.sha256(named.encode()).hexdigest()[:16]
    return folder, Mirror(folder, named)


def _local_steps(folder: Path) -> list[int]:
    return [int(found[1]) for path in folder.glob("step-*") if (found := _STEP.fullmatch(path.name))]


def _link(source: str, target: str) -> None:
    """Link a file, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
