"""What lies beside the weights in a folder that embudget wrote, and which folders a model may be written to."""

from pathlib import Path

from embudget.errors import EmbudgetError, ModelError, RunError
from embudget.outputs import check_folder_output
from embudget.owned import check_owned
from embudget.reading import read_json
from embudget.records import RunRecord
from embudget.remote import fetch_folder, is_url, read_manifest
from embudget.suite.members import local_folder, split_depth

RECORD_FILE = "embudget.json"
"""The record of the run that made a model."""


def check_folder(folder: Path, model: str | None = None, pairs: Path | None = None) -> None:
    """Refuse, before anything is trained, a folder that a model must not or cannot be written to.

    Args:
        folder: where the model goes.
        model: what training begins from, which may be a folder too.
        pairs: the folder of the pairs.

    Raises:
        RunError: it is one of the two, holds files that embudget did not write, or cannot be created.
    """
    base = None if model is None else local_folder(split_depth(model)[0])
    check_folder_output(folder, (base, pairs), RunError)
    try:
        check_earlier_model(folder)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}") from None


def check_earlier_model(folder: Path, error: type[EmbudgetError] = RunError) -> None:
    """Refuse a folder that holds anything but an earlier model or export of embudget.

    Raises:
        RunError: names the first file that is somebody else's; or the error given instead.
        OSError: the folder cannot be read.
    """
    check_owned(folder, "a model of embudget", error)


def record_at(place: Path | str) -> RunRecord | None:
    """The record of the run that made the whole model in a folder or at a URL; None where there is none.

    Raises:
        ModelError: it is damaged.
        RemoteError: the URL cannot be read.
    """
    if isinstance(place, str) and is_url(place):
        manifest = read_manifest(place)
        if manifest is None or not manifest.whole or RECORD_FILE not in manifest.files:
            return None
        place = fetch_folder(place)
    folder = Path(place)
    return read_record(folder) if (folder / RECORD_FILE).exists() else None


def read_record(folder: Path) -> RunRecord:
    """The record of the run that made the model in a folder.

    Raises:
        ModelError: it is missing or damaged.
    """
    file = folder / RECORD_FILE
    return RunRecord.read(read_json(file, ModelError), str(file), ModelError)
