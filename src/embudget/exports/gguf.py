"""Writing a model as one GGUF file, which llama.cpp, Ollama and LM Studio embed with.

The file holds the weights under llama.cpp's names, the sizes as keys, how token states are pooled, and the tokenizer
(see `embudget.exports.gguf_tokens`). Only what llama.cpp computes as transformers does is written: Llama, Qwen2, Qwen3
and BERT, pooled by mean, first or last token. Everything else is refused in one line, because llama.cpp would load a
file that is nearly right and embed with it.

Three things differ from the weights of transformers:

* llama.cpp turns neighbouring pairs of a Llama head's dimensions, transformers turns dimension i and i + d/2 (see
  `_interleaved`); for Qwen both do the latter.
* A rotary embedding with scaled frequencies (Llama 3) goes along as `rope_freqs`, the divisor of each frequency.
* There is no output layer; an embedding model has none, and llama.cpp takes the input embedding for it.

With half precision the matrices are float16, norms, biases and position tables stay float32, as llama.cpp's own
converter has it. llama.cpp takes BERT's GELU from a table in half precision in either case.

Prompts are not in the file. llama.cpp does not normalise the embedding by itself, its server does.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from embudget.errors import ExportError, shortened
from embudget.exports.base import Format
from embudget.exports.gguf_tokens import add_tokenizer
from embudget.exports.snippets import prompts_to_put

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter
    from sentence_transformers import SentenceTransformer

    from embudget.exports.exportable import Exportable

FILE = "model.gguf"

DType = Literal["float32", "float16"]
"""In which numbers the matrices are written."""

_ARCHITECTURES = {"llama": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3", "bert": "BERT"}
"""Value of ``model_type`` -> the architecture of llama.cpp, as the package gguf names it."""
_POOLED = {"mean": "MEAN", "cls": "CLS", "lasttoken": "LAST"}
"""Pooling by its name in sentence-transformers -> by its name in llama.cpp."""
_LARGEST = 65504.0
"""The largest number of half precision."""


@final
class GgufFormat(Format):
    """`model.gguf`. It is not compared with torch as it is written, because llama.cpp does not run in Python."""

    name = "gguf"
    extra = "gguf"
    packages = ("gguf",)
    takes_fp16 = True

    def check(self, source: "Exportable") -> None:
        """Refuse a model that llama.cpp does not compute as torch does."""
        kinds = [type(module).__name__ for module in source.model]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise _refused(source.name, f"its modules are {', '.join(kinds)}")
        check_gguf(source.model[0].model.config, source.model[1].pooling_mode, source.name)

    def write(self, source: "Exportable", folder: Path, fp16: bool) -> None:
        """Write the file."""
        write_gguf(source.model, folder / FILE, "float16" if fp16 else "float32", Path(source.name).name)

    def usage(self, source: "Exportable") -> str:
        """The server of llama.cpp, and what it does not know."""
        return usage_of_gguf(source)


def write_gguf(model: "SentenceTransformer", file: Path, dtype: DType = "float32", name: str = "model") -> None:
    """Write a model as a GGUF file.

        write_gguf(SentenceTransformer("model/"), Path("model.gguf"), dtype="float16")

    Args:
        model: of the modules Transformer, Pooling and Normalize, as training leaves it; adapters merged.
        file: where to write; it must not be there.
        dtype: float32 or float16.
        name: for the file's metadata and for messages.

    Raises:
        ExportError: llama.cpp does not compute such a model, or half precision cannot hold its weights.
        OSError: the file cannot be written.
    """
    from gguf import GGUFWriter, LlamaFileType, PoolingType

    transformer, pooling = model[0].model, model[1]
    config = transformer.config
    check_gguf(config, pooling.pooling_mode, name)
    writer = GGUFWriter(None, config.model_type)
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(LlamaFileType.ALL_F32 if dtype == "float32" else LlamaFileType.MOSTLY_F16)
    _add_sizes(writer, config)
    writer.add_pooling_type(PoolingType[_POOLED[pooling.pooling_mode]])
    rows = transformer.get_input_embeddings().weight.shape[0]
    add_tokenizer(writer, model.tokenizer, rows, name)
    for key, tensor in _tensors(transformer, dtype, name).items():
        writer.add_tensor(key, tensor)
    try:
        writer.write_header_to_file(file)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def check_gguf(config: Any, pooling: str, name: str) -> None:  # noqa: ANN401 - a configuration of transformers
    """Refuse a model that llama.cpp does not compute as transformers does.

    Raises:
        ExportError: says what is different.
    """
    kind = config.model_type
    if kind not in _ARCHITECTURES:
        raise _refused(name, f"its architecture is {kind}, and written are {', '.join(_ARCHITECTURES)}")
    if pooling not in _POOLED:
        raise _refused(name, f"its pooling is {pooling}, and llama.cpp has {', '.join(_POOLED)}")
    activation = config.hidden_act
    if activation not in (("gelu", "gelu_new", "gelu_pytorch_tanh") if kind == "bert" else ("silu",)):
        raise _refused(name, f"its activation is {activation}")
    if kind == "bert":
        if config.is_decoder or (getattr(config, "position_embedding_type", None) or "absolute") != "absolute":
            raise _refused(name, "it is not a BERT with absolute positions that sees all of its text")
        return
    windows = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    if windows:
        raise _refused(name, f"it has layers of {min(windows)}")
    if kind == "qwen3" and config.attention_bias:
        raise _refused(name, "its attention has biases")
    rope = config.rope_parameters["rope_type"]
    if rope not in (("default", "linear", "llama3") if kind == "llama" else ("default",)):
        raise _refused(name, f"its rotary embedding is scaled by {rope}")


def usage_of_gguf(source: "Exportable") -> str:
    """How to embed with the file, in Markdown."""
    return f"""```sh
llama-server --embeddings --model {FILE} --ctx-size {source.model.max_seq_length}
curl http://127.0.0.1:8080/v1/embeddings -d '{{"input": ["first text", "second text"]}}'
```

Pooling and tokenizer are in the file. The server normalises embeddings, llama.cpp as a library does not. Training cut
texts to {source.model.max_seq_length} tokens; llama.cpp does not cut them by itself.
{prompts_to_put(source)}"""


def _add_sizes(writer: "GGUFWriter", config: Any) -> None:  # noqa: ANN401
    """The keys of the architecture: sizes, epsilons, the rotary embedding, and who sees whom."""
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "bert":
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_causal_attention(False)
        return
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if getattr(config, "is_causal", True) is False:
        writer.add_causal_attention(False)


def _tensors(transformer: Any, dtype: DType, name: str) -> "dict[str, np.ndarray[Any, Any]]":  # noqa: ANN401
    """All weights by llama.cpp's names."""
    import gguf
    import numpy as np

    config = transformer.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[_ARCHITECTURES[config.model_type]], config.num_hidden_layers)
    prefix = "" if config.model_type == "bert" else "model."
    found = {}
    for key, tensor in transformer.state_dict().items():
        if key.startswith("pooler."):  # a head for classification, which embeddings do not pass
            continue
        place = names.get_name(prefix + key, try_suffixes=(".weight", ".bias"))
        if place is None:
            raise _refused(name, f"it has the weights {key}")
        values = tensor.detach().float().cpu().numpy()
        if config.model_type == "llama" and (".attn_q." in place or ".attn_k." in place):
            values = _interleaved(
                values, config.num_attention_heads if ".attn_q." in place else config.num_key_value_heads
            )
        stays = values.ndim < 2 or place.startswith(("position_embd", "token_types")) or "_norm." in place
        if dtype == "float16" and not stays:
            if np.abs(values).max() > _LARGEST:
                raise _refused(name, f"its weights {key} are too large for float16, the largest is above 65504")
            values = values.astype(np.float16)
        found[place] = np.ascontiguousarray(values)
    if config.model_type == "llama" and config.rope_parameters["rope_type"] != "default":
        found["rope_freqs.weight"] = _divisors(transformer)
    return found


def _interleaved(weight: "np.ndarray[Any, Any]", heads: int) -> "np.ndarray[Any, Any]":
    """Reorder the rows of a Llama's query or key weights or biases, so that those turned together are neighbours.

    A head's d rows 0, 1, ..., d-1 become 0, d/2, 1, d/2 + 1, ...
    """
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _divisors(transformer: Any) -> "np.ndarray[Any, Any]":  # noqa: ANN401
    """By what each frequency of a scaled rotary embedding is divided, as the model itself computes it."""
    import torch

    theirs = transformer.rotary_emb.inv_freq.detach().float().cpu()
    steps = torch.arange(0, 2 * len(theirs), 2, dtype=torch.float64) / (2 * len(theirs))
    plain = transformer.config.rope_parameters["rope_theta"] ** -steps
    divisors: np.ndarray[Any, Any] = (plain / theirs.double()).float().numpy()
    return divisors


def _refused(name: str, why: str) -> ExportError:
    return ExportError(f"cannot write {shortened(name, 80)} as GGUF: {why}; export it as onnx or openvino instead")
