"""A sentence-transformers model as mteb encodes with it: its prompts used, its texts counted, its embeddings checked.

This module imports mteb when it is loaded, so import it inside functions only.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

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
        """Embed the texts of a data loader; (texts, dimensions).

        Raises:
            ModelError: an embedding is not finite.
        """
        started = time.perf_counter()
        embeddings = super().encode(inputs, **kwargs)
        self._count(len(inputs.dataset), time.perf_counter() - started)
        if not np.isfinite(np.asarray(embeddings)).all():
            raise ModelError("the embeddings of the model are not finite")
        return embeddings
