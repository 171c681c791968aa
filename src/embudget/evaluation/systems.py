"""Systems that can be scored on retrieval: an embedding model, and the lexical baselines BM25 and TF-IDF.

A system maps queries and documents to a matrix of similarities. The baselines are those of established libraries:
bm25s (Lucene's variant, k1 = 1.5, b = 0.75) and scikit-learn's TfidfVectorizer with sublinear term frequencies.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

System = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""(queries, documents) -> similarities (Q, D)."""


def embedding_system(model: "SentenceTransformer", batch_size: int = 64) -> System:
    """Cosine similarity of a model's embeddings, queries and documents with its own prompts, computed in float32."""

    def similarities(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        ways = (getattr(model, name, model.encode) for name in ("encode_query", "encode_document"))
        sides = zip(ways, (queries, documents), strict=True)
        q_QE, d_DE = (
            encode(list(texts), batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
            for encode, texts in sides
        )
        result: np.ndarray = q_QE.astype(np.float32) @ d_DE.astype(np.float32).T
        return result

    return similarities


Index = Callable[[Sequence[str]], np.ndarray]
"""What documents are made into: queries -> similarities (Q, D)."""


def bm25_index(documents: Sequence[str]) -> Index:
    """Index documents for BM25 scores."""
    import bm25s

    index = bm25s.BM25()
    words = bm25s.tokenize(list(documents), stopwords="en", show_progress=False)
    if not any(words.ids):  # no document has a word: symbols, or stop words alone
        return lambda queries: np.zeros((len(queries), len(documents)), dtype=np.float32)
    index.index(words, show_progress=False)

    def scores(queries: Sequence[str]) -> np.ndarray:
        asked = bm25s.tokenize(list(queries), stopwords="en", show_progress=False, return_ids=False)
        return np.stack([index.get_scores(tokens) if tokens else np.zeros(len(documents)) for tokens in asked])

    return scores


def tfidf_index(documents: Sequence[str]) -> Index:
    """Index documents for the cosine similarity of TF-IDF vectors, which are fitted on them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    if not any(map(vectorizer.build_analyzer(), documents)):
        return lambda queries: np.zeros((len(queries), len(documents)), dtype=np.float32)
    d_DV = vectorizer.fit_transform(documents)

    def scores(queries: Sequence[str]) -> np.ndarray:
        found: np.ndarray = (vectorizer.transform(queries) @ d_DV.T).toarray()
        return found

    return scores


INDEXES: dict[str, Callable[[Sequence[str]], Index]] = {"BM25": bm25_index, "TF-IDF": tfidf_index}
"""Lexical systems by name."""


def _at_once(make_index: Callable[[Sequence[str]], Index]) -> System:
    return lambda queries, documents: make_index(documents)(queries)


BASELINES: dict[str, System] = {name: _at_once(make_index) for name, make_index in INDEXES.items()}
"""Baselines that need no training."""
