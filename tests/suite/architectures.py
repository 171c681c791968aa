"""Tiny random models of every architecture, for the contract that all of them keep.

To hold another architecture to the contract, add a case here.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModel

from embudget.suite.dense import Dense
from tests.conftest import TINY_GROUPED, TINY_SIZES, save_tiny, save_tokenizer
from tests.suite.test_starts import as_retriever


class Case(NamedTuple):
    """One variant of an architecture."""

    model_type: str
    sizes: Mapping[str, object] = MappingProxyType({})
    """Fields of its configuration beside `tests.conftest.TINY_SIZES`."""
    before: tuple[str, ...] = ()
    """Beginnings of the names of parameters that come before the blocks, beside the input embedding."""
    has_biases: bool = False
    is_encoder: bool = False
    """Whether it is saved without a head, as retrievers are, and with the pooler where its class has one."""
    dense: tuple[Dense, ...] = ()
    """The modules behind its pooling; with any it is a retriever."""


_NO_DROPOUT: dict[str, object] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
_OPT: dict[str, object] = {"ffn_dim": 160, "dropout": 0.0}
_FALCON: dict[str, object] = {"ffn_hidden_size": 160}
_SLIDING: dict[str, object] = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2}
_BERT: dict[str, object] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_MODERNBERT: dict[str, object] = {"local_attention": 8, "global_attn_every_n_layers": 3}

_HIDDEN = TINY_SIZES["hidden_size"]
_LABSE = (Dense(inputs=_HIDDEN, outputs=48, path="2_Dense"),)
_EMBEDDING_GEMMA = (
    Dense(inputs=_HIDDEN, outputs=160, bias=False, activation="Identity", path="2_Dense"),
    Dense(inputs=160, outputs=_HIDDEN, bias=False, activation="Identity", path="3_Dense"),
)

CASES: dict[str, Case] = {
    "gpt_neox": Case("gpt_neox", has_biases=True),
    "gpt_neox without attention_bias": Case(
        "gpt_neox", {"attention_bias": False, "use_parallel_residual": False}, has_biases=True
    ),
    "llama": Case("llama", TINY_GROUPED),
    "llama with biases": Case("llama", {**TINY_GROUPED, "attention_bias": True, "mlp_bias": True}, has_biases=True),
    "qwen2": Case("qwen2", {"num_key_value_heads": 2}, has_biases=True),
    "qwen3": Case("qwen3", TINY_GROUPED),
    "qwen3 with biases": Case("qwen3", {**TINY_GROUPED, "attention_bias": True}, has_biases=True),
    "mistral": Case("mistral", {**TINY_GROUPED, "sliding_window": 8}),
    "phi3": Case("phi3", {"num_key_value_heads": 2}),
    "smollm3": Case("smollm3", {**TINY_GROUPED, "use_sliding_window": True, "sliding_window": 8}),
    "smollm3 with biases": Case("smollm3", {"num_key_value_heads": 2, "mlp_bias": True}, has_biases=True),
    "gemma3_text": Case("gemma3_text", {**TINY_GROUPED, **_SLIDING}),
    "olmo2": Case("olmo2", {"num_key_value_heads": 2}),
    "gpt2": Case("gpt2", {"n_inner": 160, **_NO_DROPOUT}, ("wpe",), has_biases=True),
    "gpt2 without n_inner": Case("gpt2", _NO_DROPOUT, ("wpe",), has_biases=True),
    "opt": Case("opt", _OPT, ("decoder.embed_positions",), has_biases=True),
    "opt with norms behind": Case(
        "opt", {**_OPT, "do_layer_norm_before": False, "enable_bias": False}, ("decoder.embed_positions",),
        has_biases=True,
    ),
    "opt without affine norms": Case(
        "opt", {**_OPT, "layer_norm_elementwise_affine": False}, ("decoder.embed_positions",), has_biases=True
    ),
    "falcon of 7b": Case("falcon", _FALCON, has_biases=True),
    "falcon of 40b": Case("falcon", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}, has_biases=True),
    "falcon of rw": Case(
        "falcon", {"alibi": True, "bias": True, "parallel_attn": False, "multi_query": False}, has_biases=True
    ),
    "bert": Case("bert", _BERT, ("embeddings.", "pooler."), has_biases=True, is_encoder=True),
    "roberta": Case("roberta", _BERT, ("embeddings.", "pooler."), has_biases=True, is_encoder=True),
    "xlm-roberta": Case(
        "xlm-roberta", {**_BERT, "type_vocab_size": 1}, ("embeddings.", "pooler."), has_biases=True, is_encoder=True
    ),
    "xlm-roberta with other padding": Case(
        "xlm-roberta", {**_BERT, "pad_token_id": 3}, ("embeddings.", "pooler."), has_biases=True, is_encoder=True
    ),
    "distilbert": Case(
        "distilbert", {"hidden_dim": 160, "dropout": 0.0, "attention_dropout": 0.0}, ("embeddings.",), has_biases=True,
        is_encoder=True,
    ),
    "modernbert": Case("modernbert", _MODERNBERT, ("embeddings.",), is_encoder=True),
    "modernbert with biases": Case(
        "modernbert", {**_MODERNBERT, "attention_bias": True, "mlp_bias": True, "norm_bias": True}, ("embeddings.",),
        has_biases=True, is_encoder=True,
    ),
    "modernbert-decoder": Case("modernbert-decoder", _MODERNBERT, ("embeddings.",)),
    "bert with dense": Case(
        "bert", _BERT, ("embeddings.", "pooler."), has_biases=True, is_encoder=True, dense=_LABSE
    ),
    "embeddinggemma": Case(
        "gemma3_text", {**TINY_GROUPED, **_SLIDING, "use_bidirectional_attention": True}, dense=_EMBEDDING_GEMMA
    ),
    "stablelm": Case("stablelm", {"num_key_value_heads": 2}, has_biases=True),
    "stablelm of 12b": Case(
        "stablelm",
        {"num_key_value_heads": 4, "use_qkv_bias": True, "qk_layernorm": True, "use_parallel_residual": True},
        has_biases=True,
    ),
}  # fmt: skip


def save_case(folder: Path, case: Case) -> Path:
    """A tiny random model of a case, with its tokenizer."""
    _save_transformer(folder, case)
    pooling = {"embedding_dimension": _HIDDEN, "pooling_mode": "mean"}
    return as_retriever(folder, pooling, dense=case.dense) if case.dense else folder


def _save_transformer(folder: Path, case: Case) -> None:
    if not case.is_encoder:
        save_tiny(folder, case.model_type, **case.sizes)
        return
    config = AutoConfig.for_model(case.model_type, **{**TINY_SIZES, **case.sizes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0, 0.1)
        # texts must differ by more than the norms at the end of each block leave of biases, or else the gradients are
        # what float32 leaves of differences: with biases of mean 1, 3e-4 of the largest are rounding
        torch.nn.init.normal_(model.get_input_embeddings().weight)
    model.save_pretrained(folder)
    save_tokenizer(folder)


def blocks_of(model: Any, path: str) -> list[Any]:  # noqa: ANN401 - transformers is untyped
    """A model's blocks, by hand."""
    for step in path.split("."):
        model = getattr(model, step)
    return list(model)
