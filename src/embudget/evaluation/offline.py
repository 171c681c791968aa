"""A set of tasks from outside the domain of our own pairs that needs no network: `--tasks offline`.

| task | what | where it lies |
|---|---|---|
| Banking77Classification | 77 intents of bank customers | a folder of yours, with PolyAI's train and test tables |
| CLINC150 | 150 intents, those out of scope left out | the same folder, with data_full.json |
| LeeDocuments | 50 news texts, all pairs rated by people (Lee et al. 2005) | the package gensim |
| SimLex999 | 999 pairs of words rated by people (Hill et al. 2015) | the package gensim |

The folder is the one behind `offline=`, else that of the variable EMBUDGET_EVAL_DATA. What is missing is left out, and
said.
"""

import importlib.util
import os
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import ConfigError
from embudget.evaluation.labelled import ScoredPairs, read_train_and_test
from embudget.evaluation.local import LocalTask, classification_task, scored_task
from embudget.evaluation.task import BenchmarkTask
from embudget.reading import read_text

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

VARIABLE = "EMBUDGET_EVAL_DATA"
"""Environment variable with the folder of Banking77 and CLINC150."""

_CLINC = ("data_full.json", "clinc150_full.json")


def offline_tasks(folder: Path | None = None) -> tuple[list[BenchmarkTask], list[str]]:
    """The tasks that this machine has the data of, and a line on each that it has not.

    Raises:
        ConfigError: the folder is none, a file in it breaks a rule, or no task is there at all.
    """
    if folder is None and os.environ.get(VARIABLE):
        folder = Path(os.environ[VARIABLE])
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"offline must name a folder with the data of Banking77 and CLINC150, got {folder}")
    tasks: list[BenchmarkTask] = []
    missing: list[str] = []
    give = f"give its folder as offline=DIR or in {VARIABLE}"
    for name, find in (("Banking77Classification", _banking77), ("CLINC150", _clinc150)):
        found = find(folder) if folder is not None else None
        tasks += [] if found is None else [found]
        missing += [f"{name}: {give}"] if found is None else []
    data = _gensim_data()
    for name, make in _OF_GENSIM.items():
        tasks += [] if data is None else [make(data)]
        missing += [f"{name}: pip install gensim brings its data"] if data is None else []
    if not tasks:
        raise ConfigError(f"offline finds no data on this machine; {missing[0]}; {missing[-1]}")
    return tasks, missing


def _banking77(folder: Path) -> BenchmarkTask | None:
    places = [folder / "banking77", folder / "banking_data", folder]
    place = next((one for one in places if any(one.glob("*test.csv")) and any(one.glob("*train.csv"))), None)
    if place is None:
        return None
    train, test = read_train_and_test(place)

    def make(content: str) -> "AbsTask":
        from embudget.evaluation.mteb_local import LocalBanking77

        return LocalBanking77(content, train, test)

    # a kind of its own: mteb's task draws 16 texts a label, and the same data as `classification=` 8
    return LocalTask("Banking77Classification", "banking77", (train, test), make)


def _clinc150(folder: Path) -> BenchmarkTask | None:
    file = next((folder / name for name in _CLINC if (folder / name).is_file()), None)
    return None if file is None else classification_task(file, "CLINC150")


def _gensim_data() -> Path | None:
    """The folder of test data in the package gensim, which is not imported for it."""
    found = importlib.util.find_spec("gensim")
    folder = Path(found.origin).parent / "test" / "test_data" if found and found.origin else None
    return folder if folder is not None and (folder / "simlex999.txt").is_file() else None


def _lee(data: Path) -> BenchmarkTask:
    """All pairs of the 50 documents, with the mean of what people said, 0 to 1."""
    documents = [line for line in (data / "lee.cor").read_text("cp1252").split("\n") if line.strip()]
    rated = [[float(cell) for cell in line.split()] for line in read_text(data / "similarities0-1.txt").splitlines()]
    pairs = list(combinations(range(len(documents)), 2))
    scores = [rated[first][second] for first, second in pairs]
    return scored_task(
        "LeeDocuments",
        ScoredPairs([documents[first] for first, _ in pairs], [documents[second] for _, second in pairs], scores),
    )


def _simlex(data: Path) -> BenchmarkTask:
    """Pairs of words with a similarity of 0 to 10."""
    lines = [line.split("\t") for line in read_text(data / "simlex999.txt").splitlines() if not line.startswith("#")]
    first, second, scores = zip(*(line for line in lines if len(line) == 3), strict=True)
    return scored_task("SimLex999", ScoredPairs(list(first), list(second), [float(score) for score in scores]))


_OF_GENSIM: dict[str, Callable[[Path], BenchmarkTask]] = {"LeeDocuments": _lee, "SimLex999": _simlex}
