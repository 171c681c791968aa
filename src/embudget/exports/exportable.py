"""What is exported: a sentence-transformers folder, a member of a suite that was not fine-tuned, or a model in memory.

Every format writes float32 weights from the CPU, where the embeddings that it is checked against are computed too.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from embudget.exports.folder import RECORD_FILE, read_record
from embudget.records import RunRecord
from embudget.remote import local_copy
from embudget.suite.embedders import check_model, load_model
from embudget.suite.members import find_shape, local_folder, split_depth

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MAX_LENGTH = 512
"""Tokens at which the texts of a member that was not fine-tuned are cut, unless its positions allow fewer."""


class Exportable(NamedTuple):
    """A model to export, and what is known of it."""

    model: "SentenceTransformer"
    """In float32, on the CPU, not in training."""
    name: str
    """As the user named it, for messages and cards."""
    folder: Path | None
    """Where it was read, for files beside the weights."""
    record: RunRecord | None
    """The run that made it, if embudget did."""


def open_exportable(model: "SentenceTransformer | str | Path") -> Exportable:
    """Load what is to be exported.

    Args:
        model: a folder of sentence-transformers or its URL, a member such as ``smollm2-135m:2``, or a loaded model,
            which is not changed.

    Raises:
        ModelError: the folder is no model, would run code, or the member is unknown.
    """
    if not isinstance(model, str | Path):
        return Exportable(copy.deepcopy(model).cpu().float().eval(), "model", None, None)
    folder = source_folder(model)
    if folder is None:
        return Exportable(_untrained(str(model)).cpu().float().eval(), str(model), None, None)
    loaded = load_model(folder)
    record = read_record(folder) if (folder / RECORD_FILE).is_file() else None
    return Exportable(loaded.cpu().float().eval(), str(model), folder, record)


def source_folder(model: "SentenceTransformer | str | Path | None") -> Path | None:
    """The folder of sentence-transformers that is meant, without loading it; None for a member or a loaded model.

    Raises:
        RemoteError: it is at a URL that cannot be read.
        ModelError: it is a folder without any model.
    """
    if not isinstance(model, str | Path) or split_depth(str(model))[1] is not None:
        return None
    folder = local_copy(model)
    if not folder.is_dir() or ((folder / "config.json").is_file() and not (folder / "modules.json").is_file()):
        return None
    check_model(folder)
    return folder


def input_folder(model: "SentenceTransformer | str | Path | None") -> Path | None:
    """The folder that an export reads and must not write to, if it is one."""
    return local_folder(split_depth(str(model))[0]) if isinstance(model, str | Path) else None


def _untrained(name: str) -> "SentenceTransformer":
    """A member as it is before training, pooled as training would begin with."""
    from embudget.suite.loading import load_embedder
    from embudget.suite.members import pooling_for, start_of

    start, length = start_of(name), min(MAX_LENGTH, find_shape(name).max_length)
    return load_embedder(
        name,
        length,
        pooling_for(name, None),
        query_prompt=start.query_prompt,
        document_prompt=start.document_prompt,
    )
