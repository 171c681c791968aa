"""Data of a user's own for classification, clustering and semantic textual similarity (STS), read and checked.

classification   `text` and `label` (or `category`, `intent`), with train and test apart: two files in a folder whose
                 names end with `train` and `test`, one table with a column `split`, or a JSON file
                 {"train": [[text, label], ...], "test": [...]} as CLINC150 comes
clustering       `text` and `label`
sts              `sentence1`, `sentence2` and `score`, any scale from 0 to 100
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from embudget.errors import ConfigError
from embudget.evaluation.tables import ENDINGS, Table, labels_of, numbers_of, pick, read_table, texts_of
from embudget.reading import read_json

TEXT = ("text",)
LABEL = ("label", "category", "intent")
MAX_SCORE = 100.0
"""The largest score of a pair of texts; scales in use end at 1, 4, 5, 10 or 100. Correlations do not depend on it."""


class Labelled(NamedTuple):
    """Texts, each with its label."""

    texts: list[str]
    labels: list[str]


class ScoredPairs(NamedTuple):
    """Pairs of texts, each with how similar people find the two."""

    first: list[str]
    second: list[str]
    scores: list[float]


def read_labelled(path: Path) -> Labelled:
    """Read a table of texts and labels.

    Raises:
        ConfigError: it cannot be read, a cell is empty, or all texts have one label.
    """
    return _with_labels(_labelled(read_table(path), path), path)


def read_train_and_test(path: Path) -> tuple[Labelled, Labelled]:
    """Read the two splits of a classification task; see the module for where they may lie.

    Raises:
        ConfigError: a split is missing or empty, a cell is empty, or the training texts have one label only.
    """
    if path.is_dir():
        files = [_only(path, split) for split in ("train", "test")]
        train, test = (_labelled(read_table(file), file) for file in files)
        return _with_labels(train, files[0]), test
    splits = _of_json(path) if path.suffix.lower() == ".json" else _by_split(path)
    return _with_labels(splits[0], path), splits[1]


def read_scored_pairs(path: Path) -> ScoredPairs:
    """Read a table of pairs of texts with a score.

    Raises:
        ConfigError: it cannot be read, a text is empty, a score is no number from 0 to 100, there are fewer than three
            pairs, or all scores are equal, so that no correlation with them exists.
    """
    table = read_table(path)
    columns = [pick(table, [name], path) for name in ("sentence1", "sentence2", "score")]
    found = ScoredPairs(
        texts_of(table, columns[0], path),
        texts_of(table, columns[1], path),
        numbers_of(table, columns[2], path, 0.0, MAX_SCORE),
    )
    check_scores(found.scores, path)
    return found


def check_scores(scores: Sequence[float], path: Path) -> None:
    """Refuse scores with which nothing can be correlated.

    Raises:
        ConfigError: there are fewer than three, or all are equal.
    """
    if len(scores) < 3 or len(set(scores)) < 2:
        raise ConfigError(f"{path} must hold at least 3 pairs with scores that differ, got {len(scores)} pairs")


def _labelled(table: Table, path: Path) -> Labelled:
    text, label = pick(table, TEXT, path), pick(table, LABEL, path)
    return Labelled(texts_of(table, text, path), labels_of(table, label, path))


def _with_labels(data: Labelled, path: Path) -> Labelled:
    if len(set(data.labels)) < 2:
        raise ConfigError(f"{path} must hold texts of at least 2 labels to tell apart, got {len(set(data.labels))}")
    return data


def _only(folder: Path, split: str) -> Path:
    """The one table of a folder whose name is a split's, or ends with it."""
    found = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in ENDINGS and (file.stem == split or file.stem.endswith((f"_{split}", f"-{split}")))
    )
    if len(found) != 1:
        raise ConfigError(
            f"{folder} must hold one table named train and one named test, such as train.csv and test.csv; "
            f"got {len(found)} for {split}"
        )
    return found[0]


def _by_split(path: Path) -> tuple[Labelled, Labelled]:
    table = read_table(path)
    split = labels_of(table, pick(table, ["split"], path), path)
    data = _labelled(table, path)
    found = []
    for name in ("train", "test"):
        rows = [row for row, value in enumerate(split) if value == name]
        if not rows:
            raise ConfigError(f"{path}: split must name rows of train and of test, got none of {name}")
        found.append(Labelled([data.texts[row] for row in rows], [data.labels[row] for row in rows]))
    return found[0], found[1]


def _of_json(path: Path) -> tuple[Labelled, Labelled]:
    data = read_json(path)
    found = []
    for name in ("train", "test"):
        rows = data.get(name) if isinstance(data, dict) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and len(row) == 2 for row in rows):
            raise ConfigError(f"{path} must hold {{train: [[text, label], ...], test: [...]}}, got another {name}")
        table: Table = {"text": [row[0] for row in rows], "label": [row[1] for row in rows]}
        found.append(_labelled(table, path))
    return found[0], found[1]
