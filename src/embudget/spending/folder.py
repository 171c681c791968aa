"""What lies in the folder of a budget, and whose is it?

start.json        the budget and its arms; by it a later start knows the folder for its own
decisions.jsonl   each round: what was believed, what was bought, why, and what it changed
runs.db           the records of all runs, unless another store was named
model/            the final model; a start as it is, where no run beat it
candidates/       the models of several final runs, or the trained one that a start as it is beats
recipe.yaml       how it was trained
laws.json         laws of all runs, where they suffice
evaluation.json   the model's retrieval scores
ledger.json       where the budget went
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embudget.errors import ConfigError
from embudget.exports.folder import check_folder
from embudget.outputs import Input, check_added_to, shown_path
from embudget.parts import hold

START, DECISIONS, STORE = "start.json", "decisions.jsonl", "runs.db"
CANDIDATES = "candidates"
MODEL, RECIPE, LAWS, EVALUATION, LEDGER = "model", "recipe.yaml", "laws.json", "evaluation.json", "ledger.json"
CONTENTS = (DECISIONS, STORE, MODEL, RECIPE, LAWS, EVALUATION, LEDGER)


def check_free(out: Path, inputs: Iterable[Input] = (), also: Iterable[str] = ()) -> None:
    """Refuse, before anything is spent, a folder in which somebody's things would be replaced.

    Raises:
        ConfigError: it cannot be written, or holds results without the `start.json` of a spending.
        RunError: its model is somebody else's.
    """
    check_added_to(out, inputs)
    there = [name for name in (*CONTENTS, *also, START) if os.path.lexists(out / name)]
    if there and not (out / START).is_file():
        raise ConfigError(
            f"{shown_path(out)} holds {there[0]}, and no {START} of `embudget spend`: name another folder"
        )
    if os.path.lexists(out / MODEL):
        check_folder(out / MODEL)


@contextmanager
def only_spender(out: Path, shown: str | None = None) -> Iterator[None]:
    """Keep other processes from spending the same budget in the same folder, as long as the block lasts.

    Each would write its decisions behind the other's. The lock ends with the process, however that ends; a file system
    without locks has none.

    Args:
        out: the folder.
        shown: how the message names it, by default by its path.

    Raises:
        ConfigError: another process is at it.
    """
    handle = None
    try:
        with suppress(OSError):  # as on Windows, where a folder cannot be opened
            handle = os.open(out, os.O_RDONLY)
        if handle is not None:
            try:
                hold(handle)
            except BlockingIOError:
                raise ConfigError(
                    f"another process spends its budget in {shown or shown_path(out)}: wait for its end, or name "
                    "another place"
                ) from None
            except OSError:
                pass
        yield
    finally:
        if handle is not None:
            os.close(handle)
