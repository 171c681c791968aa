"""Descriptions of encoder-only architectures, checked in `tests/suite` against what transformers builds.

A token of an encoder sees all of its text. BERT and its kin have biases everywhere, a norm at the end of each half of a
block and none behind the last block; a table of positions, one of token types and a norm come before the blocks. All
texts of ours are of the first token type, which is what a model takes where nobody names one.

ModernBERT (Warner et al. 2024) is built like a decoder: rotary positions, no biases, a gated feed-forward network, its
norms in front. Its first block lacks one of them, since the norm behind the embedding does that work. The twins of its
encoders in the Ettin suite are decoders, described here beside them.
"""

from collections.abc import Callable

from embudget.suite.architecture import Architecture
from embudget.suite.architectures.decoders import Config

_BERT_ATTENTION = {
    **{f"attention.self.{name}": "hidden x q, bias" for name in ("query", "key", "value")},
    "attention.output.dense": "q x hidden, bias",
}
_BERT_MLP = {"intermediate.dense": "hidden x intermediate, bias", "output.dense": "intermediate x hidden, bias"}
_BERT_NORMS = {"attention.output.LayerNorm": "hidden, bias", "output.LayerNorm": "hidden, bias"}


def _bert_like(model_type: str, positions: str, **defaults: int) -> Architecture:
    """An architecture with BERT's blocks; ``positions`` is the size of its table of positions."""
    return Architecture(
        model_type=model_type,
        blocks="encoder.layer",
        defaults={"type_vocab_size": 2, "max_position_embeddings": 512, **defaults},
        attention=_BERT_ATTENTION,
        mlp=_BERT_MLP,
        norms=_BERT_NORMS,
        stem={
            "embeddings.position_embeddings": positions,
            "embeddings.token_type_embeddings": "type_vocab_size x hidden",
            "embeddings.LayerNorm": "hidden, bias",
        },
        unused=("pooler",),
        causal=False,
        other_attention={"is_decoder": True},
    )


BERT = _bert_like("bert", "max_length x hidden")

ROBERTA, XLM_ROBERTA = (
    _bert_like(model_type, "max_length + unused_positions x hidden", unused_positions=2)
    for model_type in ("roberta", "xlm-roberta")
)
"""Their positions are counted from behind that of the padding token, so that as many rows as its number, and one, are
never used: 512 tokens fit into 514 positions."""

DISTILBERT = Architecture(
    model_type="distilbert",
    blocks="transformer.layer",
    sizes={"layers": "n_layers", "hidden": "dim", "heads": "n_heads", "intermediate": "hidden_dim"},
    defaults={"max_position_embeddings": 512},
    attention={
        **{f"attention.{name}_lin": "hidden x q, bias" for name in ("q", "k", "v")},
        "attention.out_lin": "q x hidden, bias",
    },
    mlp={"ffn.lin1": "hidden x intermediate, bias", "ffn.lin2": "intermediate x hidden, bias"},
    norms={"sa_layer_norm": "hidden, bias", "output_layer_norm": "hidden, bias"},
    stem={"embeddings.position_embeddings": "max_length x hidden", "embeddings.LayerNorm": "hidden, bias"},
    causal=False,
)


def _modernbert_like(model_type: str, attention: dict[str, str], causal: bool) -> Architecture:
    """An architecture with ModernBERT's blocks, whose attention may have its queries, keys and values in one layer."""
    return Architecture(
        model_type=model_type,
        blocks="layers",
        final_norm={"final_norm": "hidden, bias norm_bias"},
        attention={
            **{name: f"{size}, bias attention_bias" for name, size in attention.items()},
            "attn.Wo": "q x hidden, bias attention_bias",
        },
        mlp={
            "mlp.Wi": "hidden x 2 intermediate, bias mlp_bias", "mlp.Wo": "intermediate x hidden, bias mlp_bias",
        },
        norms={"attn_norm": "hidden, bias norm_bias", "mlp_norm": "hidden, bias norm_bias"},
        first_lacks=("attn_norm",),
        stem={"embeddings.norm": "hidden, bias norm_bias"},
        causal=causal,
    )  # fmt: skip


MODERNBERT = _modernbert_like("modernbert", {"attn.Wqkv": "hidden x 3 q"}, causal=False)

MODERNBERT_DECODER = _modernbert_like(
    "modernbert-decoder", {f"attn.{name}_proj": "hidden x q" for name in ("q", "k", "v")}, causal=True
)


def _prepare_roberta(config: Config) -> Config:
    """Take the positions that no token has off their number."""
    positions, padding = config.get("max_position_embeddings", 512), config.get("pad_token_id", 1)
    if not isinstance(positions, int) or not isinstance(padding, int):
        return config
    return {**config, "max_position_embeddings": positions - padding - 1, "unused_positions": padding + 1}


ENCODERS: dict[str, Architecture] = {
    one.model_type: one for one in (BERT, ROBERTA, XLM_ROBERTA, DISTILBERT, MODERNBERT, MODERNBERT_DECODER)
}
"""Every built-in encoder by its `model_type`."""

PREPARE: dict[str, Callable[[Config], Config]] = {"roberta": _prepare_roberta, "xlm-roberta": _prepare_roberta}
"""For families whose sizes need more than a name: what to read in place of the configuration."""
