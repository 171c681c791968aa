"""How a built-in checkpoint is written down: its sizes in one tuple, and how it embeds texts if it is a retriever."""

from embudget.suite.dense import Dense
from embudget.suite.shapes import ModelShape
from embudget.suite.starts import PooledBy, Start

_SIZES = ("layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab")


def built_in(
    name: str, family: str, architecture: str, hub_id: str | None, *, sizes: tuple[int, ...], max_length: int,
    rate: float | None = None, revision: str | None = None, retriever: bool = False,
    settings: tuple[tuple[str, int], ...] = (), dense: tuple[Dense, ...] = (),
) -> ModelShape:  # fmt: skip
    """A shape from ``sizes``: layers, hidden, heads, kv_heads, head_dim, intermediate, vocab, in that order.

    ``settings`` are fields of its configuration on which its description depends and that are not the defaults,
    ``dense`` the modules behind its pooling.
    """
    return ModelShape.model_validate(
        {
            **dict(zip(_SIZES, sizes, strict=True)),
            "name": name,
            "family": family,
            "start": "retriever" if retriever else "base",
            "architecture": architecture,
            "hub_id": hub_id,
            "revision": revision,
            "max_length": max_length,
            "pretraining_learning_rate": rate,
            "settings": settings,
            "dense": dense,
        }
    )


def embeds(
    shapes: tuple[ModelShape, ...], pooling: PooledBy, *, query: str = "", document: str = "", length: int | None = None
) -> dict[str, Start]:
    """How all retrievers of a family embed texts, by their names; all of ours scale embeddings to unit length."""
    start = Start(
        kind="retriever", pooling=pooling, query_prompt=query, document_prompt=document, max_length=length
    )  # fmt: skip
    return {shape.name: start.model_copy(update={"dense": shape.dense}) for shape in shapes}
