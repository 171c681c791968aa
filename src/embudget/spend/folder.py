"""What lies in the folder of a budget, and whose is it?

spend.json        what was asked for; by it a later start knows the folder for its own
decisions.jsonl   each round: what was believed, what was bought, why, and what it changed
runs.db           the records of all runs, unless another store was named
model/            the final model
evaluation.json   its retrieval scores
ledger.json       where the budget went
"""

import os
from collections.abc import Iterable
from pathlib import Path

from embudget.errors import ConfigError
from embudget.exports.folder import check_folder
from embudget.files import write_whole
from embudget.frozen import Frozen
from embudget.outputs import Input, check_added_to, shown_path
from embudget.reading import read_json

ASKED, DECISIONS, STORE = "spend.json", "decisions.jsonl", "runs.db"
MODEL, EVALUATION, LEDGER = "model", "evaluation.json", "ledger.json"
CONTENTS = (DECISIONS, STORE, MODEL, EVALUATION, LEDGER)


def claim(out: Path, asked: Frozen, inputs: Iterable[Input] = (), also: Iterable[str] = ()) -> None:
    """Take a folder for the spending of one budget, or go on in one that holds the same.

    Args:
        out: the folder; it is made where it is missing.
        asked: all that the decisions depend on.
        inputs: what is read, such as the pairs.
        also: further names that will be written in it.

    Raises:
        ConfigError: it cannot be written, holds what embudget did not write, or another budget's spending.
        RunError: its model is somebody else's.
    """
    check_free(out, inputs, also)
    there = read_json(out / ASKED) if (out / ASKED).is_file() else None
    now = asked.model_dump(mode="json")
    if there is not None:
        if other := [name for name in now if there.get(name) != now[name]]:
            raise ConfigError(
                f"{shown_path(out)} holds another spending: its {other[0]} is {_said(there.get(other[0]))}, now "
                f"{_said(now[other[0]])}: name another folder; its runs are used again by --store "
                f"{shown_path(out / STORE)}"
            )
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / ASKED, asked.model_dump_json(indent=2))
    except OSError as error:
        raise ConfigError(f"cannot write {shown_path(out)}: {error.strerror or error}") from None


def check_free(out: Path, inputs: Iterable[Input] = (), also: Iterable[str] = ()) -> None:
    """Refuse, before anything is spent, a folder in which somebody's things would be replaced.

    Raises:
        ConfigError: it cannot be written, or holds results without the `spend.json` of a spending.
        RunError: its model is somebody else's.
    """
    check_added_to(out, inputs)
    if not (out / ASKED).is_file():
        if there := [name for name in (*CONTENTS, *also, ASKED) if os.path.lexists(out / name)]:
            raise ConfigError(
                f"{shown_path(out)} holds {there[0]}, and no {ASKED} of `embudget spend`: name another folder"
            )
    check_folder(out / MODEL)


def _said(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
