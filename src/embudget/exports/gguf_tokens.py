"""Which tokenizer of llama.cpp cuts texts as ours does? Its keys for a GGUF file, or why there is none.

llama.cpp does not run a `tokenizer.json`. It has a few tokenizers of its own, and of byte-level BPE a list of named
rules for cutting a text into words ("pre-tokenizers"). We compare ours with those whose rule is the same, letter by
letter, and refuse any other, since a tokenizer that is nearly right embeds nearly every text a little wrong:

    gpt-2       byte-level BPE by GPT-2's rule
    smollm      the same, each digit a word (SmolLM, StarCoder)
    qwen2       Qwen's rule: letters with one mark before them, each digit a word
    llama-bpe   Llama 3's: as Qwen's, with up to three digits, and whole words that are tokens stay whole
    bert        WordPiece behind BERT's normalisation

Two things llama.cpp does otherwise. It does not bring texts to the normal form NFC, which Qwen's tokenizer does: a
letter written as base and accent is read as two. And an empty text has no token where neither end nor begin token is
put around it, while our folder reads it as a space.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from embudget.errors import ExportError, shortened

if TYPE_CHECKING:
    from gguf import GGUFWriter

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    f"{_CONTRACTIONS}{_WORDS}{_REST}": "qwen2",
    f"{_CONTRACTIONS}{_WORDS}{{1,3}}{_REST}": "llama-bpe",
}
"""Regular expression of a tokenizer.json -> the name of the same rule in llama.cpp."""


class Around(NamedTuple):
    """The tokens that a tokenizer puts before and behind each text; None where it puts none."""

    front: int | None
    behind: int | None


def add_tokenizer(writer: "GGUFWriter", tokenizer: Any, rows: int, name: str) -> None:  # noqa: ANN401 - untyped library
    """Write the keys of a tokenizer.

    Args:
        writer: of the GGUF file.
        tokenizer: a fast tokenizer of transformers that follows the rule of `embudget.suite.tokens`.
        rows: rows of the input embedding; names that no text has fill up the tokens.
        name: the model's, for messages.

    Raises:
        ExportError: llama.cpp has no such tokenizer.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    around = _around(tokenizer, name)
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    if content["model"]["type"] == "WordPiece":
        _add_wordpiece(writer, content, around, name)
        spelled = _as_wordpieces
    elif content["model"]["type"] == "BPE":
        _add_byte_level(writer, content, around, name)
        spelled = _as_it_is
    else:
        raise _refused(name, f"its kind is {content['model']['type']}")
    _add_tokens(writer, tokenizer, rows, {place: token.special for place, token in added.items()}, spelled, name)
    for role in ("unk", "pad", "mask"):
        if (place := getattr(tokenizer, f"{role}_token_id", None)) is not None and place < rows:
            getattr(writer, f"add_{role}_token_id")(place)


def _add_byte_level(writer: "GGUFWriter", content: Any, around: Around, name: str) -> None:  # noqa: ANN401 - JSON
    """The keys of byte-level BPE: its rule for words, its merges, and what it puts around a text.

    llama.cpp takes its begin token for number 11 where none is named, and node-llama-cpp appends no end token where
    there is no begin token. So each is named, whether it is put around a text or not.
    """
    model, vocabulary = content["model"], content["model"]["vocab"]
    rule = _rule(content, name)
    if model.get("byte_fallback") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _refused(name, "its BPE is not on bytes")
    if bool(model.get("ignore_merges")) != (rule == "llama-bpe"):
        raise _refused(name, f"it has the rule {rule} with ignore_merges {bool(model.get('ignore_merges'))}")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    specials = [one["id"] for one in content["added_tokens"] if one["special"]]
    stand_in = next((place for place in (around.behind, around.front, *specials) if place is not None), None)
    if stand_in is None:
        stand_in = min(vocabulary.values())
    writer.add_bos_token_id(stand_in if around.front is None else around.front)
    writer.add_eos_token_id(stand_in if around.behind is None else around.behind)
    writer.add_add_bos_token(around.front is not None)
    writer.add_add_eos_token(around.behind is not None)


def _rule(content: Any, name: str) -> str:  # noqa: ANN401 - JSON
    """The name of the rule by which a byte-level tokenizer cuts a text into words."""
    normalizer = content["normalizer"]
    if normalizer is not None and normalizer["type"] != "NFC":
        raise _refused(name, f"it normalises texts by {normalizer['type']}")
    before = content["pre_tokenizer"] or {"type": "None"}
    steps = before["pretokenizers"] if before["type"] == "Sequence" else [before]
    bytes_by_rule = [step.get("use_regex", True) for step in steps if step["type"] == "ByteLevel"]
    if bytes_by_rule and any(step.get("add_prefix_space") for step in steps):
        raise _refused(name, "it puts a space before each text")
    match [step["type"] for step in steps]:
        case ["ByteLevel"] if bytes_by_rule == [True]:
            return "gpt-2"
        case ["Digits", "ByteLevel"] if bytes_by_rule == [True] and steps[0]["individual_digits"]:
            return "smollm"
        case ["Split", "ByteLevel"] if bytes_by_rule == [False] and steps[0]["behavior"] == "Isolated":
            if (rule := _SPLITS.get(steps[0]["pattern"].get("Regex", ""))) and not steps[0]["invert"]:
                return rule
    raise _refused(name, f"it cuts texts into words by {' and '.join(step['type'] for step in steps)} of its own")


def _add_wordpiece(writer: "GGUFWriter", content: Any, around: Around, name: str) -> None:  # noqa: ANN401 - JSON
    """The keys of BERT's tokenizer, to which llama.cpp always adds [CLS] and [SEP]."""
    before, normalizer = content["pre_tokenizer"], content["normalizer"]
    if before is None or before["type"] != "BertPreTokenizer" or content["model"]["continuing_subword_prefix"] != "##":
        raise _refused(name, "its WordPiece does not cut texts as BERT's does")
    if normalizer is None or normalizer["type"] != "BertNormalizer":
        raise _refused(name, "it does not normalise texts as BERT does")
    if around.front is None or around.behind is None:
        raise _refused(name, "a WordPiece tokenizer must put a token before and behind each text")
    if not (normalizer["clean_text"] and normalizer["handle_chinese_chars"]):
        raise _refused(name, "it leaves control characters or runs of Chinese characters as they are")
    accents = normalizer["strip_accents"]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", normalizer["lowercase"])
    writer.add_bool("tokenizer.ggml.normalizer.strip_accents", normalizer["lowercase"] if accents is None else accents)
    writer.add_bos_token_id(around.front)
    writer.add_uint32("tokenizer.ggml.cls_token_id", around.front)
    writer.add_eos_token_id(around.behind)
    writer.add_sep_token_id(around.behind)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _as_it_is(token: str) -> str:
    """A token of byte-level BPE, which llama.cpp writes in the same letters."""
    return token


def _as_wordpieces(token: str) -> str:
    """A piece of BERT's vocabulary as llama.cpp writes it: the mark is on what begins a word, not on what goes on."""
    return token[2:] if token.startswith("##") else f"\u2581{token}"


def _add_tokens(
    writer: "GGUFWriter",
    tokenizer: Any,  # noqa: ANN401
    rows: int,
    added: dict[int, bool],
    spelled: Callable[[str], str],
    name: str,
) -> None:
    """The list of all tokens, one a row of the embedding, and of which kind each is."""
    from gguf import TokenType

    names, kinds = [f"[PAD{place}]" for place in range(rows)], [TokenType.UNUSED] * rows
    for token, place in tokenizer.backend_tokenizer.get_vocab().items():
        if place in added:
            names[place], kinds[place] = token, TokenType.CONTROL if added[place] else TokenType.USER_DEFINED
        else:
            names[place], kinds[place] = spelled(token), TokenType.NORMAL
    if len(set(names)) < rows:
        raise _refused(name, "two of its tokens are written alike")
    writer.add_token_list(names)
    writer.add_token_types(kinds)


def _around(tokenizer: Any, name: str) -> Around:  # noqa: ANN401
    """The tokens around each text, as the tokenizer puts them."""
    from tokenizers import Tokenizer

    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_padding()
    encoded = plain.encode("a")
    text = [at for at, special in enumerate(encoded.special_tokens_mask) if not special]
    if not text:
        raise _refused(name, "it makes nothing of the text 'a'")
    front, behind = encoded.ids[: text[0]], encoded.ids[text[-1] + 1 :]
    if len(front) > 1 or len(behind) > 1:
        raise _refused(name, f"it puts {len(front)} tokens before a text and {len(behind)} behind it, more than one")
    return Around(front[0] if front else None, behind[0] if behind else None)


def _refused(name: str, why: str) -> ExportError:
    return ExportError(
        f"cannot write {shortened(name, 80)} as GGUF: llama.cpp has no tokenizer like its own, for {why}: export it as "
        "onnx or openvino"
    )
