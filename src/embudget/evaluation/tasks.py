"""What is a model scored on? Each word of `--tasks` becomes tasks, read and checked before any model is loaded.

    retrieval=DIR  sts=FILE  classification=FILE or DIR  clustering=FILE     data of the user's own
    mteb:NAME,NAME                                                          tasks of mteb
    paper                                                                   the paper's 15 tasks
    offline  or  offline=DIR                                                what needs no network, see `offline`

Nothing here imports mteb or torch: a task makes mteb's object when it is scored.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from embudget.errors import ConfigError, shortened
from embudget.evaluation.local import LOCAL
from embudget.evaluation.task import BenchmarkTask

PAPER = (
    "MedrxivClusteringS2S", "StackExchangeClusteringP2P", "ArguAna", "CQADupstackGisRetrieval",
    "CQADupstackAndroidRetrieval", "QuoraRetrieval", "BIOSSES", "SICK-R", "STS22", "SummEval", "ImdbClassification",
    "Banking77Classification", "AmazonReviewsClassification", "SprintDuplicateQuestions", "StackOverflowDupQuestions",
)  # fmt: skip
"""The paper's downstream tasks; of those in several languages its English part alone."""

FORMS = "retrieval=DIR, sts=FILE, classification=FILE, clustering=FILE, mteb:NAME, paper, offline"


def words_of(texts: Iterable[str], here: Path = Path()) -> list[str]:
    """Split what was given into one task each: at commas, of which those behind `mteb:` part its names.

    A comma within a path parts nothing where such a file exists, relative to the folder ``here``.

    Raises:
        ConfigError: a part is of none of the forms; near ones are named.
    """
    found: list[str] = []
    for text in texts:
        kind, _, rest = text.partition("=")
        if kind in LOCAL and rest and (here / rest).exists():  # a path with a comma in it
            found.append(text)
            continue
        of_mteb = False
        for part in filter(None, map(str.strip, text.split(","))):
            of_mteb = part.startswith("mteb:") or (of_mteb and not _is_form(part))
            if not of_mteb and not _is_form(part):
                raise ConfigError(_unknown(part))
            found.append(part if part.startswith("mteb:") or not of_mteb else f"mteb:{part}")
    if not found:
        raise ConfigError(f"tasks must name at least one of {FORMS}")
    return list(dict.fromkeys(found))


def _is_form(part: str) -> bool:
    kind, equals, path = part.partition("=")
    if kind == "offline":
        return not equals or bool(path)
    return part == "paper" or (kind in LOCAL and bool(path))


def _unknown(part: str) -> str:
    word = part.partition("=")[0].partition(":")[0]
    near = [f"mteb:{name}" for name in difflib.get_close_matches(part, PAPER, 1, 0.85)]
    words = {form.partition("=")[0].partition(":")[0]: form for form in FORMS.split(", ")}
    near += [words[one] for one in difflib.get_close_matches(word.lower(), words, 1, 0.7)]
    hint = f"did you mean {near[0]}?" if near else f"give {FORMS}"
    return f"there is no task {shortened(part, 60)}: {hint}"


def word_beside(here: Path, word: str) -> str:
    """A word of `words_of` with its path relative to a folder, as a study's file has it."""
    kind, equals, path = word.partition("=")
    return f"{kind}={here / path}" if equals and not word.startswith("mteb:") else word


def places_of(texts: Iterable[str]) -> list[str]:
    """The files and folders that tasks are read from."""
    return [word.partition("=")[2] for word in words_of(texts) if "=" in word and not word.startswith("mteb:")]


def read_tasks(texts: Sequence[str]) -> tuple[list[BenchmarkTask], list[str]]:
    """Read and check all that is named; nothing is downloaded, and no model is loaded.

    Returns:
        The tasks in the order given, and a line on each part of `offline` that is not on this machine.

    Raises:
        ConfigError: a task does not exist, or its data break a rule, or two tasks have one name.
        PairsError: a folder of pairs cannot be used.
        ModuleNotFoundError: mteb is not installed.
    """
    tasks: list[BenchmarkTask] = []
    missing: list[str] = []
    for word in words_of(texts):
        kind, _, path = word.partition("=")
        if word.startswith("mteb:"):
            from embudget.evaluation.mteb_own import mteb_task

            tasks.append(mteb_task(word.removeprefix("mteb:")))
        elif word == "paper":
            from embudget.evaluation.mteb_own import mteb_task

            tasks += [mteb_task(name, english=True) for name in PAPER]
        elif kind in LOCAL:
            tasks.append(LOCAL[kind](Path(path)))
        else:
            from embudget.evaluation.offline import offline_tasks

            found, left = offline_tasks(Path(path) if path else None)
            tasks += found
            missing += left
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tasks are called {name!r}: rename the file or folder of one, or name it by a link")
    return tasks, missing
