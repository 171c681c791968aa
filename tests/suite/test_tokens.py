"""The rule of what a text becomes as token ids holds for every tokenizer, and survives saving and loading."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from embudget.errors import ModelError
from embudget.suite.loading import load_tokenizer
from embudget.suite.tokens import reads_empty, ruled, specials
from tests.conftest import save_tokenizer

TEXTS = [
    "", " ", "\n\t ", "a", "  lead and trail \n", "<|end|>", "<|end|><|pad|>", "\ufffd", "\u0915\u0941", "x" * 3000,
    "def f(x):\n    return x\n",
]  # fmt: skip


def ids(tokenizer: Any, **options: Any) -> list[list[int]]:  # noqa: ANN401 - transformers is untyped
    return [tokenizer(text, **options)["input_ids"] for text in TEXTS]


def words(template: str | None = None, unknown: bool = True, **named: str) -> Any:  # noqa: ANN401
    """A tokenizer of three words, which knows neither white space nor other scripts."""
    vocabulary = {"a": 0, "def": 1, "return": 2, "<s>": 3, "[UNK]": 4}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]") if unknown else models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def test_a_byte_level_tokenizer_is_left_as_it_is(tiny_llama: Path) -> None:
    own = AutoTokenizer.from_pretrained(tiny_llama)
    plain = load_tokenizer(str(tiny_llama))
    assert ids(plain) == ids(own)
    assert not reads_empty(plain) and specials(plain) == 0
    assert (plain.padding_side, plain.pad_token, plain.chat_template) == ("right", "<|pad|>", None)


def test_an_end_token_is_put_behind_each_text_and_never_cut(tiny_llama: Path) -> None:
    own, ended = AutoTokenizer.from_pretrained(tiny_llama), load_tokenizer(str(tiny_llama), end_token=True)
    assert ids(ended) == [[*one, 0] for one in ids(own)]
    assert {one[-1] for one in ids(ended, truncation=True, max_length=5)} == {0}
    assert max(map(len, ids(ended, truncation=True, max_length=5))) == 5


@pytest.mark.parametrize("template", ["<s> $A", "$A <s>", "<s> $A <s>"])
def test_what_the_tokenizer_puts_around_a_text_stays(template: str) -> None:
    own, ended = words(template), ruled(words(template), "m", 5, end_token=True)
    behind = [] if template.endswith("<s>") else [4]
    assert ids(ended) == [[*one, *behind] for one in ids(own)]


@pytest.mark.parametrize("how", [{}, {"template": "<s> $A"}, {"unknown": False}, {"bos_token": "<s>"}])
@pytest.mark.parametrize("end_token", [False, True])
def test_every_text_has_a_token_and_the_rule_survives_saving(
    tmp_path: Path, how: dict[str, Any], end_token: bool
) -> None:
    plain = ruled(words(**how), "m", 5, end_token=end_token)
    assert all(ids(plain)), "even where the tokenizer knows nothing of white space or a script"
    assert max(max(one) for one in ids(plain)) < 5
    plain.save_pretrained(tmp_path)
    assert ids(AutoTokenizer.from_pretrained(tmp_path)) == ids(plain)
    again = ruled(AutoTokenizer.from_pretrained(tmp_path), "m", 5, end_token=end_token)
    assert ids(again) == ids(plain), "no second end token"


@pytest.mark.parametrize("keep", [[], ["eos_token"], ["unk_token"]])
def test_padding_has_a_stand_in_that_changes_no_text(tmp_path: Path, keep: list[str]) -> None:
    save_tokenizer(tmp_path)
    backend = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    own = PreTrainedTokenizerFast(tokenizer_object=backend, **dict.fromkeys(keep, "<|end|>"))
    plain = ruled(own, "m", 400)
    assert ids(plain) == ids(own)
    assert plain(["a", "a b c"], padding=True)["attention_mask"][0][1:] == [0] * (len(plain("a b c")["input_ids"]) - 1)
    plain.save_pretrained(tmp_path / "saved")
    assert ids(AutoTokenizer.from_pretrained(tmp_path / "saved")) == ids(own)


def test_a_tokenizer_larger_than_its_embedding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^m: its tokenizer is larger than its embedding: token .* and the embedding"):
        ruled(save_tokenizer(tmp_path), "m", 350)
    with pytest.raises(ModelError, match="token 'new' has the number 400, and the embedding has 400 rows"):
        grown = save_tokenizer(tmp_path)
        grown.add_tokens(["new"])
        ruled(grown, "m", len(grown) - 1)


def test_special_tokens_beyond_the_embedding_are_text(tmp_path: Path) -> None:
    own = save_tokenizer(tmp_path)
    rows = len(own)
    own.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<picture>"]})
    plain = ruled(own, "m", rows)
    plain.save_pretrained(tmp_path / "saved")
    for tokenizer in (plain, AutoTokenizer.from_pretrained(tmp_path / "saved")):
        found = tokenizer(["a [PAD] <picture> b", "a"], padding=True)["input_ids"]
        assert max(map(max, found)) < rows


def test_a_tokenizer_that_fails_at_unknown_text_is_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}))
    with pytest.raises(ModelError, match=r"^m: its tokenizer fails at unknown text: WordLevel error"):
        ruled(PreTrainedTokenizerFast(tokenizer_object=tokenizer), "m", 1)


def test_a_lone_surrogate_is_refused_and_not_read_as_another_text(tiny_llama: Path) -> None:
    with pytest.raises((UnicodeError, TypeError)):
        load_tokenizer(str(tiny_llama))("\ud800")
