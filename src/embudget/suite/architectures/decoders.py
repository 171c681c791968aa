"""Descriptions of decoder-only architectures, checked in `tests/suite` against what transformers builds.

Most are Llama with other biases and norms. Where a family leaves fields out of its configuration or derives its sizes
from several, a small function prepares the configuration before the description is applied to it.
"""

from collections.abc import Callable
from typing import Any

from embudget.errors import ModelError
from embudget.suite.architecture import Architecture

Config = dict[str, Any]
"""The content of a config.json."""

_TWO_NORMS = {"input_layernorm": "hidden", "post_attention_layernorm": "hidden"}
_HEAD_NORMS = {"self_attn.q_norm": "head_dim", "self_attn.k_norm": "head_dim"}


def _llama_like(
    model_type: str,
    norms: dict[str, str] = _TWO_NORMS,
    *,
    attention_bias: bool = True,
    qkv: str = "",
    mlp: str = "",
    final_norm: str = "hidden",
    defaults: dict[str, bool | int | str] | None = None,
    other_attention: dict[str, bool] | None = None,
) -> Architecture:
    """An architecture with Llama's linear layers.

    ``attention_bias`` is for those whose field of this name decides about the biases of attention; for others ``qkv``
    says when there are any behind the first three layers, and ``mlp`` when there are any in the feed-forward network.
    """
    o = "bias attention_bias" if attention_bias else ""
    qkv, o, mlp = (f", {bias}" if bias else "" for bias in (qkv or o, o, mlp))
    return Architecture(
        model_type=model_type,
        blocks="layers",
        final_norm={"norm": final_norm},
        defaults=defaults or {},
        attention={
            "self_attn.q_proj": f"hidden x q{qkv}", "self_attn.k_proj": f"hidden x kv{qkv}",
            "self_attn.v_proj": f"hidden x kv{qkv}", "self_attn.o_proj": f"q x hidden{o}",
        },
        mlp={
            "mlp.gate_proj": f"hidden x intermediate{mlp}", "mlp.up_proj": f"hidden x intermediate{mlp}",
            "mlp.down_proj": f"intermediate x hidden{mlp}",
        },
        norms=norms,
        other_attention=other_attention or {},
    )  # fmt: skip


LLAMA = _llama_like("llama", mlp="bias mlp_bias")
SMOLLM3 = _llama_like("smollm3", mlp="bias mlp_bias")
MISTRAL = _llama_like("mistral", attention_bias=False)
QWEN2 = _llama_like("qwen2", attention_bias=False, qkv="bias")
QWEN3 = _llama_like("qwen3", _TWO_NORMS | _HEAD_NORMS, defaults={"head_dim": 128})

GEMMA3_TEXT = _llama_like(
    "gemma3_text",
    {**_TWO_NORMS, **_HEAD_NORMS, "pre_feedforward_layernorm": "hidden", "post_feedforward_layernorm": "hidden"},
    defaults={  # the text model inside a multimodal one is written without the fields that have them
        "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
    },
    other_attention={"use_bidirectional_attention": True},
)  # fmt: skip

OLMO2 = _llama_like(
    "olmo2",
    {
        "self_attn.q_norm": "q", "self_attn.k_norm": "kv",
        "post_attention_layernorm": "hidden", "post_feedforward_layernorm": "hidden",
    },
)  # fmt: skip

STABLELM = _llama_like(
    "stablelm",
    {
        "input_layernorm": "hidden, bias",
        "post_attention_layernorm": "hidden, bias, if not use_parallel_residual",
        "self_attn.q_layernorm": "q, if qk_layernorm",  # a norm of its own for each head
        "self_attn.k_layernorm": "kv, if qk_layernorm",
    },
    attention_bias=False,
    qkv="bias use_qkv_bias",
    final_norm="hidden, bias",
)  # fmt: skip

PHI3 = Architecture(
    model_type="phi3",
    blocks="layers",
    final_norm={"norm": "hidden"},
    attention={"self_attn.qkv_proj": "hidden x q + 2 kv", "self_attn.o_proj": "q x hidden"},
    mlp={"mlp.gate_up_proj": "hidden x 2 intermediate", "mlp.down_proj": "intermediate x hidden"},
    norms=_TWO_NORMS,
)

GPT_NEOX = Architecture(
    model_type="gpt_neox",
    blocks="layers",
    final_norm={"final_layer_norm": "hidden, bias"},
    defaults={"attention_bias": True},
    attention={
        "attention.query_key_value": "hidden x 3 q, bias attention_bias",
        "attention.dense": "q x hidden, bias attention_bias",
    },
    mlp={
        "mlp.dense_h_to_4h": "hidden x intermediate, bias",
        "mlp.dense_4h_to_h": "intermediate x hidden, bias",
    },
    norms={"input_layernorm": "hidden, bias", "post_attention_layernorm": "hidden, bias"},
)  # fmt: skip

GPT2 = Architecture(
    model_type="gpt2",
    blocks="h",
    final_norm={"ln_f": "hidden, bias"},
    sizes={
        "layers": "n_layer", "hidden": "n_embd", "heads": "n_head", "intermediate": "n_inner",
        "max_length": "n_positions",
    },
    defaults={"n_inner": "4 hidden"},
    attention={"attn.c_attn": "hidden x 3 q, bias", "attn.c_proj": "q x hidden, bias"},
    mlp={"mlp.c_fc": "hidden x intermediate, bias", "mlp.c_proj": "intermediate x hidden, bias"},
    norms={"ln_1": "hidden, bias", "ln_2": "hidden, bias"},
    stem={"wpe": "max_length x hidden"},
)  # fmt: skip

OPT = Architecture(
    model_type="opt",
    blocks="decoder.layers",
    final_norm={"decoder.final_layer_norm": "hidden, bias, if has_final_norm"},
    sizes={"intermediate": "ffn_dim"},
    defaults={"enable_bias": True, "layer_norm_elementwise_affine": True},
    attention={
        f"self_attn.{name}": "hidden x hidden, bias enable_bias" for name in ("q_proj", "k_proj", "v_proj", "out_proj")
    },
    mlp={"fc1": "hidden x intermediate, bias enable_bias", "fc2": "intermediate x hidden, bias enable_bias"},
    norms={
        name: "hidden, bias, if layer_norm_elementwise_affine" for name in ("self_attn_layer_norm", "final_layer_norm")
    },
    stem={"decoder.embed_positions": "max_length + 2 x hidden"},
)

FALCON = Architecture(
    model_type="falcon",
    blocks="h",
    final_norm={"ln_f": "hidden, bias"},
    sizes={"kv_heads": "num_kv_heads", "intermediate": "ffn_hidden_size"},
    defaults={"ffn_hidden_size": "4 hidden", "max_position_embeddings": 2048},
    attention={
        "self_attention.query_key_value": "hidden x q + 2 kv, bias bias",
        "self_attention.dense": "q x hidden, bias bias",
    },
    mlp={
        "mlp.dense_h_to_4h": "hidden x intermediate, bias bias",
        "mlp.dense_4h_to_h": "intermediate x hidden, bias bias",
    },
    norms={
        "input_layernorm": "hidden, bias, if not has_norm_for_each",
        "post_attention_layernorm": "hidden, bias, if is_sequential",
        "ln_attn": "hidden, bias, if has_norm_for_each",
        "ln_mlp": "hidden, bias, if has_norm_for_each",
    },
)  # fmt: skip


def _prepare_opt(config: Config) -> Config:
    """Say whether there is a final norm, and refuse what the parts of a cut model cannot compute."""
    if config.get("word_embed_proj_dim") not in (None, config.get("hidden_size")):
        raise ModelError(
            f"opt with word_embed_proj_dim {config['word_embed_proj_dim']!r} is not supported: it must be the hidden "
            f"size, {config.get('hidden_size')!r}"
        )
    if config.get("layerdrop"):
        raise ModelError(f"opt with layerdrop {config['layerdrop']!r} is not supported: set it to 0 in its config.json")
    has_final_norm = (
        config.get("do_layer_norm_before", True)
        and not config.get("_remove_final_layer_norm", False)
        and config.get("layer_norm_elementwise_affine", True)
    )
    return {**config, "has_final_norm": bool(has_final_norm)}


def _prepare_falcon(config: Config) -> Config:
    """Resolve its three styles (7b, 40b and rw) into key-value heads and norms, as transformers does."""
    new, multi_query = config.get("new_decoder_architecture", False), config.get("multi_query", True)
    parallel, norms = config.get("parallel_attn", True), config.get("num_ln_in_parallel_attn")
    if norms is None:
        norms = 2 if new else 1
    kv_heads = config.get("num_kv_heads") if new else 1 if multi_query else None
    return {
        **config,
        "num_kv_heads": kv_heads or config.get("num_attention_heads"),
        "is_sequential": not parallel,
        "has_norm_for_each": bool(parallel and norms == 2),
    }


def _prepare_gemma3(config: Config) -> Config:
    """Take the language model out of the multimodal one."""
    text = config.get("text_config")
    return {**text, "model_type": "gemma3_text"} if isinstance(text, dict) else config


DECODERS: dict[str, Architecture] = {
    **{
        one.model_type: one
        for one in (
            FALCON, GEMMA3_TEXT, GPT2, GPT_NEOX, LLAMA, MISTRAL, OLMO2, OPT, PHI3, QWEN2, QWEN3, SMOLLM3, STABLELM,
        )
    },
    "gemma3": GEMMA3_TEXT,
}  # fmt: skip
"""Every built-in decoder by its `model_type`; of a multimodal Gemma 3 the language model."""

PREPARE: dict[str, Callable[[Config], Config]] = {
    "falcon": _prepare_falcon, "gemma3": _prepare_gemma3, "opt": _prepare_opt,
}  # fmt: skip
"""For families whose sizes need more than a name: what to read in place of the configuration."""
