"""Finished records that the store did not take: kept as files beside the checkpoints until it does."""

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import EmbudgetError, StoreError
from embudget.files import write_whole
from embudget.reading import read_json
from embudget.records import RunRecord

if TYPE_CHECKING:
    from embudget.study.store import Store
    from embudget.training.mirror import Mirror

LOG = logging.getLogger(__name__)

_ENDING = ".record.json"


def store_record(
    store: "Store", record: RunRecord, folder: Path | None, mirror: "Mirror | None" = None, took: float | None = None
) -> None:
    """Add a record to a store; while the store is in trouble the record lies in the folder too, and in its mirror.

    Args:
        store: where it goes.
        record: of a run.
        folder: for records that a store in trouble does not take; None keeps none.
        mirror: of the folder, where there is one.
        took: seconds from the run's lease to its record.

    Raises:
        StoreError: the store could not be written; the message says where the record is.
    """

    def keep() -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(_file(folder, record.id), record.model_dump_json(exclude_none=True))
            if mirror is not None:
                mirror.put_file(_file(folder, record.id))

    def keep_if_possible() -> None:
        try:
            keep()
        except OSError as error:  # the record is in memory, and the store may come back
            LOG.warning("cannot keep the record %s in %s: %s", record.id, folder, error.strerror or error)

    try:
        store.add(record, keep_if_possible, took)
    except StoreError as error:
        raise StoreError(f"{error}; {_whereabouts(folder, keep)}") from None
    if folder is not None and (kept := _file(folder, record.id)).exists():
        kept.unlink(missing_ok=True)
        if mirror is not None:
            mirror.remove_file(kept.name)


def add_kept(store: "Store", folder: Path | None, runs: Collection[str], mirror: "Mirror | None" = None) -> None:
    """Add to a store the records of these runs, by id, that an earlier sweep could not add, and remove their files.

    Those of other runs stay: they may be another store's, which has its checkpoints in the same folder.
    """
    if mirror is not None:
        try:
            mirror.fetch_files(_ENDING)
        except OSError as error:
            LOG.warning("cannot fetch records that were kept at %s: %s", mirror.url, error.strerror or error)
    for path in sorted(folder.glob(f"*{_ENDING}")) if folder is not None else ():
        if path.name.removesuffix(_ENDING) not in runs:
            continue
        try:
            record = RunRecord.read(read_json(path), str(path))
        except EmbudgetError as error:
            LOG.warning("%s is no record and is left as it is: %s", path, str(error)[:100])
            continue
        store.add(record)
        path.unlink(missing_ok=True)
        if mirror is not None:
            mirror.remove_file(path.name)


def _file(folder: Path, run: str) -> Path:
    return folder / f"{run}{_ENDING}"


def _whereabouts(folder: Path | None, keep: Callable[[], None]) -> str:
    if folder is None:
        return "with --checkpoints DIR the finished run would not be lost"
    try:
        keep()
    except OSError:
        return f"the finished run could not be kept in {folder} either; its checkpoint is there"
    return f"the finished run is kept in {folder} and added by the next sweep"
