"""Descriptions as a user writes them into architecture.yaml."""

STARCODER = """\
model_type: starcoder2
blocks: layers
final_norm: {norm: "hidden, bias"}
attention:
  self_attn.q_proj: hidden x q, bias use_bias
  self_attn.k_proj: hidden x kv, bias use_bias
  self_attn.v_proj: hidden x kv, bias use_bias
  self_attn.o_proj: q x hidden, bias use_bias
mlp: {mlp.c_fc: "hidden x intermediate, bias use_bias", mlp.c_proj: "intermediate x hidden, bias use_bias"}
norms: {input_layernorm: "hidden, bias", post_attention_layernorm: "hidden, bias"}
"""
"""An architecture that transformers has and embudget does not."""

LLAMA = """\
model_type: llama
blocks: layers
final_norm: {norm: hidden}
attention:
  self_attn.q_proj: hidden x q
  self_attn.k_proj: hidden x kv
  self_attn.v_proj: hidden x kv
  self_attn.o_proj: q x hidden
mlp: {mlp.gate_proj: hidden x intermediate, mlp.up_proj: hidden x intermediate, mlp.down_proj: intermediate x hidden}
norms: {input_layernorm: hidden, post_attention_layernorm: hidden}
"""
"""One that is built in; that of a model's folder is taken in its place."""
