"""The model that a run begins from, as its configuration says: for training, and to compare the trained model with."""

from typing import TYPE_CHECKING

from embudget.records import RunConfig
from embudget.suite.loading import load_embedder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_base(config: RunConfig, device: str | None = None) -> "SentenceTransformer":
    """Load the model that a run begins from, as the run embeds texts with it; on a device of the library's choice.

    Raises:
        ModelError: see `embudget.suite.loading.load_embedder`.
    """
    return load_embedder(
        config.model,
        config.max_length,
        config.pooling,
        config.end_token,
        query_prompt=config.query_prompt,
        document_prompt=config.document_prompt,
        attention=config.attention,
        device=device,
    )
