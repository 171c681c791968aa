"""Systems that are scored beside each other: an embedding model, or a lexical search.

Each is what mteb calls a model, with a name and a revision of its own, and it counts what it does: how many texts in
how many seconds. It is loaded when it is first used, which is never where the cache has all its scores.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, final

from embudget.evaluation.lexical import LexicalSearch
from embudget.evaluation.systems import INDEXES
from embudget.evaluation.task import BenchmarkTask

if TYPE_CHECKING:
    from mteb.models import ModelMeta
    from sentence_transformers import SentenceTransformer


class Contender(ABC):
    """One system.

    Args:
        name: as tables call it.
        revision: what it is: whatever has the same revision has the same scores.
    """

    def __init__(self, name: str, revision: str) -> None:
        self.name, self.revision = name, revision
        self.texts, self.seconds = 0, 0.0
        """What it has embedded or searched so far."""

    def meta(self, name: str | None = None) -> "ModelMeta":
        """How mteb knows it; by a name of its own where people read it, else by its revision alone."""
        from mteb.models import ModelMeta

        called = "system" if name is None else re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"
        return ModelMeta.create_empty(overwrites={"name": f"embudget/{called}", "revision": self.revision})

    def takes(self, task: BenchmarkTask) -> bool:
        """Whether it can do the task."""
        return True

    @abstractmethod
    def model(self) -> Any:  # noqa: ANN401 - one of mteb's protocols
        """What mteb evaluates."""

    def parameters(self) -> tuple[int, int] | None:
        """How many weights it has, all of them and those without embeddings; None where it has none."""
        return None

    def release(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of the memory that it holds."""


@final
class EmbeddingContender(Contender):
    """A sentence-transformers model, with its prompts."""

    def __init__(self, name: str, revision: str, load: "Callable[[], SentenceTransformer]") -> None:
        super().__init__(name, revision)
        self._load = load
        self._model: SentenceTransformer | None = None

    def embedder(self) -> "SentenceTransformer":
        """The model itself."""
        if self._model is None:
            self._model = self._load()
        return self._model

    def model(self) -> Any:  # noqa: ANN401 - one of mteb's protocols
        """What mteb evaluates."""
        from embudget.evaluation.encoder import CountingEncoder

        return CountingEncoder(self.embedder(), self.meta(), self._count)

    def _count(self, texts: int, seconds: float) -> None:
        self.texts += texts
        self.seconds += seconds

    def parameters(self) -> tuple[int, int]:
        """How many weights it has, all of them and those whose name does not contain `emb`."""
        sizes = {name: weight.numel() for name, weight in self.embedder().named_parameters()}
        return sum(sizes.values()), sum(size for name, size in sizes.items() if "emb" not in name)

    def release(self) -> None:
        """Let go of the model; it is loaded again when it is needed."""
        self._model = None


_PACKAGES = {"BM25": "bm25s", "TF-IDF": "scikit-learn"}


@final
class LexicalContender(Contender):
    """BM25 or TF-IDF; it does retrieval alone."""

    def __init__(self, name: str) -> None:
        package = _PACKAGES[name]
        super().__init__(name, f"{name}-{package}-{version(package)}")

    def takes(self, task: BenchmarkTask) -> bool:
        """Whether the task is retrieval."""
        return task.ranks

    def model(self) -> Any:  # noqa: ANN401 - one of mteb's protocols
        """What mteb evaluates."""
        search = LexicalSearch(INDEXES[self.name], self.meta())
        search.index = self._timed(search.index, "corpus")  # type: ignore[method-assign]
        search.search = self._timed(search.search, "queries")  # type: ignore[method-assign]
        return search

    def _timed(self, function: Callable[..., Any], what: str) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - of mteb's protocol
            started = time.perf_counter()
            result = function(*arguments, **named)
            self.seconds += time.perf_counter() - started
            self.texts += len(named[what] if what in named else arguments[0])
            return result

        return run
