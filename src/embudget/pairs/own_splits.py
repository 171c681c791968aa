"""Which split a data set's own parts are, by the names that the field gives them: train, dev, test and their like."""

import re
from collections.abc import Sequence
from pathlib import Path

from embudget.pairs.splitting import Split

ORDER: tuple[Split | None, ...] = ("test", "validation", "train", None)
"""The order in which the parts of a data set are read. Of two equal pairs the first one read stays, so a pair that is
in test and in train is left out of train."""
_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_WORD = "|".join(sorted(_NAMES, key=len, reverse=True))
_BEGINS, _ENDS = re.compile(rf"({_WORD})(?![a-z])"), re.compile(rf"(?<![a-z])({_WORD})$")


def split_named(name: str) -> Split | None:
    """Say which split a name such as "dev" stands for.

    Example:
        >>> split_named("dev"), split_named("unlabelled")
        ('validation', None)
    """
    return _NAMES.get(name.lower())


def splits_of_files(paths: Sequence[Path]) -> list[Split | None]:
    """Say of each file which split it is by its name, such as `train-00000-of-00002.parquet`, or its folder's.

    A name may mean something else (`test_cases.csv`), so splits are told only where one file is named train and another
    one validation or test. What is named otherwise beside them trains.
    """
    found = [_of_file(path) for path in paths]
    if "train" not in found or len(set(found) - {None}) == 1:
        return [None] * len(paths)
    return [split or "train" for split in found]


def _of_file(path: Path) -> Split | None:
    stem = path.name.lower().partition(".")[0]
    match = _BEGINS.match(stem) or _ENDS.search(stem)
    return _NAMES[match[1]] if match else split_named(path.parent.name)


def choose_splits(names: Sequence[str], *, resplit: bool) -> tuple[list[tuple[str, Split | None]], list[str]]:
    """Choose which splits of a data set to read, by their names.

    Args:
        names: of the splits that there are.
        resplit: whether embudget makes all splits anew. Then only the training split is read, because a benchmark's
            test split is not to train on; without one the first is.

    Returns:
        The names to read, each with the split that it is, in the `ORDER` of reading; and the names to leave. If no name
        is known, the first is read and belongs to no split.
    """
    known = {name: split for name in names if (split := split_named(name))}
    first = next((name for name, split in known.items() if split == "train"), names[0])
    chosen = [(name, None) for name in (first,)] if resplit or not known else list(known.items())
    taken = {name for name, _ in chosen}
    return sorted(chosen, key=lambda item: ORDER.index(item[1])), [name for name in names if name not in taken]
