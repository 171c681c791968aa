"""The built-in suites: published decoder-only checkpoints as data, without weights."""

from embudget.suite.shapes import ModelShape

_SMOLLM2_135M = ModelShape(
    name="smollm2-135m",
    family="smollm2",
    architecture="llama",
    layers=30,
    hidden=576,
    heads=9,
    kv_heads=3,
    head_dim=64,
    intermediate=1536,
    vocab=49152,
    max_length=8192,
    pretraining_learning_rate=3e-3,
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
)

SHAPES: dict[str, ModelShape] = {shape.name: shape for shape in [_SMOLLM2_135M]}
"""Every built-in checkpoint by name."""

SUITES: dict[str, tuple[str, ...]] = {
    "smollm2": tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 3, 4, 6, 8, 12, 16, 30)),
}
"""The members of every built-in suite; `smollm2`, one checkpoint cut to several depths, is the default."""

DEFAULT_SUITE = "smollm2"
