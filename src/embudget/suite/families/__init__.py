"""Which checkpoints are built in? Families of language models and of retrievers as data, without weights."""

from embudget.suite.families.language_models import (
    ETTIN_DECODER,
    ETTIN_ENCODER,
    GEMMA_3,
    LLAMA_3_2,
    MICRO,
    MODERNBERT,
    OLMO_2,
    PYTHIA,
    QWEN2_5,
    QWEN3,
    SMOLLM2,
)
from embudget.suite.families.retrievers import (
    BGE,
    E5,
    EMBEDDING_GEMMA,
    GTE,
    MINILM,
    MULTILINGUAL_E5,
    QWEN3_EMBEDDING,
    STARTS,
)
from embudget.suite.shapes import ModelShape

__all__ = ["DEFAULT_SUITE", "SHAPES", "STARTS", "SUITES"]

_FAMILIES = (
    MICRO, PYTHIA, QWEN2_5, QWEN3, QWEN3_EMBEDDING, LLAMA_3_2, GEMMA_3, OLMO_2, MODERNBERT, ETTIN_ENCODER,
    ETTIN_DECODER, BGE, E5, MULTILINGUAL_E5, GTE, EMBEDDING_GEMMA,
)  # fmt: skip
"""Those whose suite are all their sizes."""

SHAPES: dict[str, ModelShape] = {
    shape.name: shape for family in (SMOLLM2, MINILM, *_FAMILIES) for shape in family
}  # fmt: skip
"""Every built-in checkpoint by name."""

SUITES: dict[str, tuple[str, ...]] = {
    "smollm2": tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 3, 4, 6, 8, 12, 16, 30)),
    "smollm2-family": tuple(shape.name for shape in SMOLLM2),
    "minilm": tuple(f"minilm-l6:{depth}" for depth in (1, 2, 3, 4, 6)),
    "minilm-family": tuple(shape.name for shape in MINILM),
    **{family[0].family: tuple(shape.name for shape in family) for family in _FAMILIES},
    "ettin": tuple(shape.name for shape in (*ETTIN_ENCODER, *ETTIN_DECODER)),
}
"""The members of every built-in suite. `smollm2`, one checkpoint cut to several depths, is the default, and `minilm` is
its like among retrievers; `smollm2-family` and `minilm-family` are the published sizes, `ettin` both kinds of twins;
every other suite is the family of its name."""

DEFAULT_SUITE = "smollm2"
