"""Scoring a model on the held-out groups of text pairs: retrieval on test, contrastive loss on validation."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from embudget.errors import ConfigError, ModelError, PairsError
from embudget.evaluation.ranking import Scores, ranks, score
from embudget.evaluation.systems import BASELINES, System, embedding_system
from embudget.frozen import Frozen
from embudget.pairs import Pairs

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MAX_QUERIES = 2000
"""Test pairs that are used; each of their queries ranks the positives of all of them."""


class Evaluation(Frozen):
    """Scores of several systems on the same test pairs, the model first."""

    pairs: str = Field(description="content hash of the pairs")
    documents: int = Field(description="positives that each query ranks")
    scores: dict[str, Scores] = Field(description="nDCG@10, MRR@10 and recall@10 of each system, the model first")
    run: str | None = Field(default=None, description="id of the run that made the model, where that is known")

    def __str__(self) -> str:
        width = max(len(name) for name in self.scores)
        lines = [f"{'retrieval':{width}}  nDCG@10   MRR@10  recall@10"]
        for name, scores in self.scores.items():
            values = f"{scores.ndcg_at_10:7.3f}  {scores.mrr_at_10:7.3f}  {scores.recall_at_10:9.3f}"
            lines.append(f"{name:{width}}  {values}")
        queries = next(iter(self.scores.values())).queries
        return "\n".join([*lines, f"{queries:,} queries over {self.documents:,} documents, test split {self.pairs}"])


def evaluate(
    model: "SentenceTransformer | str | Path",
    pairs: Pairs,
    *,
    against: Mapping[str, "SentenceTransformer"] | None = None,
    baselines: bool = True,
    max_queries: int = MAX_QUERIES,
) -> Evaluation:
    """Rank the positives of held-out pairs for each of their queries, and score the ranks.

    The text form of the result is a table of nDCG@10, MRR@10 and recall@10, the model first, then what it is compared
    with.

    Args:
        model: a sentence-transformers model, or a folder that holds one.
        pairs: text pairs; their test split shares no group (service, package, ...) with the training data.
        against: further models to score, by the names to print.
        baselines: whether to score BM25 and TF-IDF too.
        max_queries: the first so many test pairs are used.

    Raises:
        ConfigError: a model of ``against`` has the name of another system.
        ModelError: the folder holds no sentence-transformers model, or its embeddings are not finite.
        PairsError: there are fewer than two test pairs.

    Example:
        >>> print(eb.evaluate("model/", eb.load_pairs("pairs/")))
    """
    if taken := {"model", *BASELINES} & set(against or {}):
        raise ConfigError(f"a model to compare with cannot be called {min(taken)!r}")
    if not hasattr(model, "encode"):
        model = load_model(model)
    table = pairs.head("test", max_queries)
    if len(table) < 2:
        raise PairsError(f"{pairs.folder} must hold at least 2 test pairs, got {len(table)}")
    systems = {"model": embedding_system(model)}
    systems |= {name: embedding_system(other) for name, other in (against or {}).items()}
    systems |= BASELINES if baselines else {}
    queries, positives = table["query"].to_pylist(), table["positive"].to_pylist()
    documents = list(dict.fromkeys(positives))
    place = {document: column for column, document in enumerate(documents)}
    relevant = np.array([place[positive] for positive in positives])
    return Evaluation(
        pairs=pairs.hash,
        documents=len(documents),
        scores={name: _score(name, system, queries, documents, relevant) for name, system in systems.items()},
    )


def _score(name: str, system: System, queries: list[str], documents: list[str], relevant: np.ndarray) -> Scores:
    similarities = system(queries, documents)
    if not np.isfinite(similarities).all():
        raise ModelError(f"the embeddings of {name!r} are not finite")
    return score(ranks(similarities, relevant))


def load_model(folder: str | Path) -> "SentenceTransformer":
    """Load a model that embudget, or sentence-transformers, saved.

    Raises:
        ModelError: the folder holds none.
    """
    if not (Path(folder) / "modules.json").is_file():
        raise ModelError(f"{folder} holds no sentence-transformers model: modules.json is missing")
    from sentence_transformers import SentenceTransformer

    from embudget.suite.loading import loading

    with loading(str(folder)):
        return SentenceTransformer(str(folder))
