"""A sentence-transformers model as mteb encodes with it: its prompts used, its texts counted, its embeddings checked.

This module imports mteb when it is loaded, so import it inside functions only.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from torch.utils.data import DataLoader

from embudget.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class CountingEncoder(SentenceTransformerEncoderWrapper):
    """mteb's wrapper of a model, which knows it by our name and revision.

    Args:
        model: the model.
        meta: its name and revision.
        count: told of the texts and the seconds of each call.
    """

    def __init__(self, model: "SentenceTransformer", meta: ModelMeta, count: Callable[[int, float], None]) -> None:
        super().__init__(model)
        self.mteb_model_meta = meta
        self._count = count

    def encode(self, inputs: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - of mteb's protocol
        """Embed the texts of a data loader, each distinct one once; (texts, dimensions).

        Raises:
            ModelError: an embedding is not finite.
        """
        rows, place_T = _distinct(inputs.dataset["text"])
        started = time.perf_counter()
        embeddings = np.asarray(super().encode(_only(inputs, rows), **kwargs))
        self._count(len(rows), time.perf_counter() - started)
        if not np.isfinite(embeddings).all():
            raise ModelError("the embeddings of the model are not finite")
        return embeddings[place_T]


def _distinct(texts: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """The first row of each distinct text, and where among these each text's is.

    The 1,225 pairs of 50 documents would otherwise be embedded as 2,450 texts.
    """
    first: dict[str, int] = {}
    rows: list[int] = []
    places = []
    for row, text in enumerate(texts):
        if text not in first:
            first[text] = len(rows)
            rows.append(row)
        places.append(first[text])
    return rows, np.array(places, dtype=int)


def _only(inputs: "DataLoader[Any]", rows: list[int]) -> "DataLoader[Any]":
    """A data loader of these rows alone."""
    dataset: Any = inputs.dataset
    return DataLoader(dataset.select(rows), batch_size=inputs.batch_size, collate_fn=inputs.collate_fn)
