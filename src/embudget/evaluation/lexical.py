"""BM25 and TF-IDF as mteb searches with them: documents are indexed once, queries asked in blocks.

A document without a word of the query has score 0 and is not retrieved. Only as many queries are asked at a time as
make `BLOCK` scores, so that memory does not depend on the number of queries.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from embudget.evaluation.systems import Index

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mteb.models import ModelMeta

BLOCK = 2**26
"""Scores of one block, 256 MB."""


class LexicalSearch:
    """A lexical system with the methods that mteb calls on a search engine (its SearchProtocol)."""

    def __init__(self, make_index: "Callable[[Sequence[str]], Index]", meta: "ModelMeta") -> None:
        self._make_index = make_index
        self.mteb_model_meta = meta
        self._ids: list[str] = []
        self._index: Index | None = None

    def index(self, corpus: Any, **kwargs: Any) -> None:  # noqa: ANN401 - a data set of mteb, and its other arguments
        """Index the documents, each by its title and text."""
        titles = corpus["title"] if "title" in corpus.column_names else [""] * len(corpus)
        self._ids = list(corpus["id"])
        self._index = self._make_index(
            [f"{title} {text}".strip() for title, text in zip(titles, corpus["text"], strict=True)]
        )

    def search(self, queries: Any, *, top_k: int, **kwargs: Any) -> "Mapping[str, Mapping[str, float]]":  # noqa: ANN401
        """The best documents of each query, by score."""
        assert self._index is not None, "mteb indexes before it searches"
        asked, keys = list(queries["text"]), list(queries["id"])
        found: dict[str, dict[str, float]] = {}
        rows = max(1, BLOCK // max(1, len(self._ids)))
        for start in range(0, len(asked), rows):
            scores_QD = self._index(asked[start : start + rows])
            for key, scores_D in zip(keys[start : start + rows], scores_QD, strict=True):
                best = np.argsort(-scores_D, kind="stable")[: top_k + 1]  # one more: the query itself may be left out
                found[key] = {self._ids[place]: float(scores_D[place]) for place in best if scores_D[place] > 0}
        return found
