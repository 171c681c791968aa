"""Tasks on data of the user's own. The data are read and checked here; mteb's object is made when a model is scored."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from embudget.evaluation.beir import RetrievalData, read_retrieval
from embudget.evaluation.labelled import Labelled, ScoredPairs, read_labelled, read_scored_pairs, read_train_and_test
from embudget.evaluation.task import BenchmarkTask, TextSize

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask


_MadeBy = Literal["LocalRetrieval", "LocalSTS", "LocalClassification", "LocalBanking77", "LocalClustering"]


@final
class LocalTask(BenchmarkTask):
    """A task on data that have been read.

    Args:
        name: as tables call it.
        kind: what is asked of a model, one of `LOCAL`.
        data: what was read.
        made_by: the class of `embudget.evaluation.mteb_local` that makes mteb's task of it; it decides with the data
            where scores are cached, since classes differ in the texts they draw.
    """

    def __init__(self, name: str, kind: str, data: tuple[Any, ...], made_by: _MadeBy) -> None:
        self.name = name
        self.ranks = kind == "retrieval"
        self.content = _hash([made_by, data])
        self._data, self._made_by = data, made_by
        self._texts = _texts(data)

    def make(self) -> "AbsTask":
        """A fresh task of mteb, for one model."""
        from embudget.evaluation import mteb_local

        made: AbsTask = getattr(mteb_local, self._made_by)(self.name, self.content, *self._data)
        return made

    def sizes(self) -> list[TextSize]:
        """How much text a model embeds for it: every text that was read, at most."""
        return [TextSize(1, len(text)) for text in self._texts]

    def sample(self) -> Sequence[str]:
        """All its texts."""
        return self._texts


def _hash(values: Any) -> str:  # noqa: ANN401 - lists and tuples of texts and numbers
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _texts(data: tuple[Any, ...]) -> list[str]:
    found: list[str] = []
    for part in data:
        if isinstance(part, RetrievalData):
            found += [*part.queries.values(), *(f"{title} {text}".strip() for title, text in part.documents.values())]
        elif isinstance(part, ScoredPairs):
            found += [*part.first, *part.second]
        elif isinstance(part, Labelled):
            found += part.texts
    return found


def retrieval_task(path: Path) -> BenchmarkTask:
    """Retrieval in a folder of BEIR's layout, or on the test split of text pairs."""
    return LocalTask(_name(path), "retrieval", (read_retrieval(path),), "LocalRetrieval")


def sts_task(path: Path) -> BenchmarkTask:
    """Semantic textual similarity on a table of pairs."""
    return scored_task(_name(path), read_scored_pairs(path))


def scored_task(name: str, data: ScoredPairs) -> BenchmarkTask:
    """Semantic textual similarity on pairs that have been read."""
    return LocalTask(name, "sts", (data,), "LocalSTS")


def classification_task(path: Path, name: str | None = None) -> BenchmarkTask:
    """Classification of labelled texts, with train and test apart."""
    return LocalTask(name or _name(path), "classification", read_train_and_test(path), "LocalClassification")


def clustering_task(path: Path) -> BenchmarkTask:
    """Clustering of labelled texts."""
    return LocalTask(_name(path), "clustering", (read_labelled(path),), "LocalClustering")


def _name(path: Path) -> str:
    """A task's name: the file's without its ending, or the folder's; a link has its own."""
    found = path if path.name not in ("", "..") else path.resolve()
    return found.name if found.is_dir() else found.stem


LOCAL: dict[str, Callable[[Path], BenchmarkTask]] = {
    "retrieval": retrieval_task,
    "sts": sts_task,
    "classification": classification_task,
    "clustering": clustering_task,
}
