"""Scoring a model on the held-out groups of text pairs: retrieval on test, contrastive loss on validation."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from embudget.errors import ConfigError, ModelError, PairsError
from embudget.evaluation.ranking import Scores, score
from embudget.evaluation.systems import BASELINES, System, embedding_system
from embudget.frozen import Frozen
from embudget.pairs import Pairs, as_pairs
from embudget.pairs.relevance import Relevance, relevance_of
from embudget.suite.embedders import load_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MAX_QUERIES = 2000
"""Test pairs that are used; each of their distinct queries ranks the distinct positives of all of them."""


class Evaluation(Frozen):
    """Scores of several systems on the same test pairs, the model first."""

    pairs: str = Field(description="content hash of the pairs")
    documents: int = Field(description="distinct positives, which each query ranks")
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
    pairs: Pairs | str | Path,
    *,
    against: Mapping[str, "SentenceTransformer | str | Path"] | None = None,
    baselines: bool = True,
    max_queries: int = MAX_QUERIES,
) -> Evaluation:
    """Rank the positives of held-out pairs for each of their queries, and score the ranks.

    Texts that repeat count once. A query that stands in several pairs has several right answers, and its own text is
    none of its candidates. A model embeds queries and positives with its own prompts, where it has some, by
    ``encode_query`` and ``encode_document``.

    The text form of the result is a table of nDCG@10, MRR@10 and recall@10, the model first, then what it is compared
    with.

    Args:
        model: a sentence-transformers model, or a folder that holds one.
        pairs: text pairs, or their folder; their test split shares no group (service, package, ...) with the training
            data.
        against: further models to score, or their folders, by the names to print.
        baselines: whether to score BM25 and TF-IDF too.
        max_queries: the first so many test pairs are used.

    Raises:
        ConfigError: a model of ``against`` has the name of another system, or ``max_queries`` is below 2.
        ModelError: the folder holds no sentence-transformers model, or one that would run code (see `load_model`), or
            its embeddings are not finite.
        PairsError: there are fewer than two distinct test positives.

    Example:
        >>> print(eb.evaluate("model/", "pairs/"))
    """
    if taken := {"model", *BASELINES} & set(against or {}):
        raise ConfigError(f"a model to compare with cannot be called {min(taken)!r}")
    if max_queries < 2:
        raise ConfigError(f"max_queries must be >= 2, got {max_queries}")
    pairs = as_pairs(pairs)
    table = pairs.head("test", max_queries)
    if len(table) < 2:
        raise PairsError(f"{pairs.folder} must hold at least 2 test pairs, got {len(table)}")
    relevance = relevance_of(table["query"].to_pylist(), table["positive"].to_pylist())
    if len(relevance.documents) < 2:
        raise PairsError(f"{pairs.folder} must hold at least 2 distinct test positives, got 1 in {len(table)} pairs")
    models = {"model": model} | dict(against or {})
    systems = {
        name: embedding_system(load_model(one) if isinstance(one, str | Path) else one) for name, one in models.items()
    }
    systems |= BASELINES if baselines else {}
    return Evaluation(
        pairs=pairs.hash,
        documents=len(relevance.documents),
        scores={name: _score(name, system, relevance) for name, system in systems.items()},
    )


def _score(name: str, system: System, relevance: Relevance) -> Scores:
    similarities = system(relevance.queries, relevance.documents)
    if not np.isfinite(similarities).all():
        raise ModelError(f"the embeddings of {name!r} are not finite")
    return score(similarities, relevance)
