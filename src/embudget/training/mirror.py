"""Checkpoints at a URL: a mirror of those in a local folder, from which any other machine goes on.

The local folder works as without one. Each whole checkpoint is uploaded (`embudget.training.uploads`), and a run begins
by fetching the newest whole one, if that is newer than its own. Finished records that the store did not take lie beside
them, for whichever machine adds them.
"""

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embudget.cache import cache_folder
from embudget.errors import DamagedError, RemoteError
from embudget.files import whole_file
from embudget.parts import claimed
from embudget.remote import check_writable_url, folder_or_url, put_folder, read_manifest, remove_folder
from embudget.remote.attempts import attempt
from embudget.remote.fetching import fetch_files
from embudget.remote.folders import get_file, make_parent, names_in, remove_file
from embudget.training.checkpoint_folder import KEPT, step_name

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LOG = logging.getLogger(__name__)

UPLOAD_PATIENCE, REMOVE_PATIENCE = 20.0, 30.0
_STEP = re.compile(r"step-(\d{9})")


class Mirror(NamedTuple):
    """The checkpoints of all runs, in a local folder and at a URL; each run or trunk has a folder of its own."""

    folder: Path
    url: str

    def runs(self) -> set[str]:
        """The runs and trunks of which something lies at the URL; none where it does not answer."""
        try:
            return set(attempt(self.url, "list", _names_beside, patience=REMOVE_PATIENCE))
        except RemoteError as error:
            LOG.warning("%s", error)
            return set()

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
        whole = 0
        for step in self._steps(run, REMOVE_PATIENCE):
            if whole == keep:
                remove_folder(f"{self.url}/{run}/{step_name(step)}", REMOVE_PATIENCE)
            else:
                whole += self._is_whole(run, step)

    def leave_newest(self, run: str) -> None:
        """Leave one checkpoint of a trunk and none of its branches; where that fails more are left, with a warning."""
        try:
            self.trim(run, 1)
            for branch in {name.partition("/")[0] for name in names_in(f"{self.url}/{run}", REMOVE_PATIENCE)}:
                if branch.startswith("branch-"):
                    remove_folder(f"{self.url}/{run}/{branch}", REMOVE_PATIENCE)
        except RemoteError as error:
            LOG.warning("old checkpoints are left behind: %s", error)

    def remove(self, run: str) -> None:
        """Remove all checkpoints of a run at the URL; where that fails they are left, with a warning."""
        try:
            remove_folder(f"{self.url}/{run}", REMOVE_PATIENCE)
        except RemoteError as error:
            LOG.warning("checkpoints of a run that has ended are left behind: %s", error)

    def put_file(self, file: Path) -> None:
        """Put a file of the local folder beside the checkpoints; a failure is a warning, and it stays here alone."""
        try:
            attempt(f"{self.url}/{file.name}", "write", partial(_put_file, file), patience=REMOVE_PATIENCE)
        except RemoteError as error:
            LOG.warning("%s; it is kept in %s", error, file)

    def fetch_files(self, ending: str) -> None:
        """Fetch the files beside the checkpoints whose names end so and that are not in the local folder yet.

        Raises:
            RemoteError: the URL cannot be read.
            OSError: the local folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in attempt(self.url, "list", _names_beside):
            target = self.folder / name
            if name.endswith(ending) and not target.exists():
                with whole_file(target) as part:
                    get_file(f"{self.url}/{name}", part)

    def remove_file(self, name: str) -> None:
        """Remove a file beside the checkpoints; where that fails it is left, with a warning."""
        try:
            remove_file(f"{self.url}/{name}", REMOVE_PATIENCE)
        except RemoteError as error:
            LOG.warning("%s", error)

    def _steps(self, run: str, patience: float | None = None) -> list[int]:
        """Steps of which something lies at the URL, newest first."""
        folders = (name.partition("/")[0] for name in names_in(f"{self.url}/{run}", patience))
        return sorted({int(found[1]) for name in folders if (found := _STEP.fullmatch(name))}, reverse=True)

    def _is_whole(self, run: str, step: int) -> bool:
        manifest = read_manifest(f"{self.url}/{run}/{step_name(step)}", REMOVE_PATIENCE)
        return manifest is not None and manifest.whole

    def _numbers(self, run: str, step: int, file: str) -> dict[str, Any]:
        place = f"{self.url}/{run}/{step_name(step)}/{file}"

        def read(fs: "AbstractFileSystem", path: str) -> bytes:
            with suppress(FileNotFoundError):  # torn like one that is no JSON
                found: bytes = fs.cat_file(path)
                return found
            return b""

        content = attempt(place, "read", read)
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


def checkpoints_at(place: str | Path) -> tuple[Path, Mirror | None]:
    """The local folder of checkpoints that a user asks for, and its mirror where that is a URL.

    The local folder of a URL lies in the cache folder, and has the URL's name there.

    Raises:
        RemoteError: it is a URL that cannot be written.
    """
    named = folder_or_url(place)
    if isinstance(named, Path):
        return named, None
    check_writable_url(named)
    folder = cache_folder() / "checkpoints" / hashlib.sha256(named.encode()).hexdigest()[:16]
    return folder, Mirror(folder, named)


def _put_file(file: Path, fs: "AbstractFileSystem", path: str) -> None:
    make_parent(fs, path)
    fs.put_file(str(file), path)


def _names_beside(fs: "AbstractFileSystem", path: str) -> list[str]:
    try:
        return [str(name).rstrip("/").rpartition("/")[2] for name in fs.ls(path, detail=False)]
    except FileNotFoundError:
        return []


def _local_steps(folder: Path) -> list[int]:
    return [int(found[1]) for path in folder.glob("step-*") if (found := _STEP.fullmatch(path.name))]
