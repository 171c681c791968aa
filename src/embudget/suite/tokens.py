"""What does a text become as token ids? One rule, the same in training, measuring, exporting and serving.

    text -> [what the tokenizer puts in front] + tokens of the text, cut + [end token]

* White space and line breaks stay. The chat template is removed, since a text is no conversation.
* A retriever that was trained on lower case, by a setting outside its tokenizer, reads lower case.
* What the tokenizer puts in front of a text or behind it by itself, such as a begin token, stays.
* An *end token* is put behind each text for last-token pooling, unless the tokenizer puts one there by itself: the
  state of a text's own last word says little of the text. It is put, too, where the tokenizer knows nothing of some
  texts, such as other scripts or white space, so that every text has a token.
* A text is cut to `max_length` tokens, those in front and behind included; these are never cut.
* Padding is on the right, by the tokenizer's own padding token or a stand-in. Attention masks it, so any token serves.
* An empty text that has no token by the above is read as a single space.

The rule is written into the tokenizer, not into our code, so that an exported folder follows it wherever it is loaded:
the tokens around a text into its post-processor, and the space, since no part of a tokenizer sees an empty text, into a
chat template that returns every other text as it is (40 microseconds a text).
"""

import json
from collections.abc import Iterable
from typing import Any

from embudget.errors import ModelError, first_line

_PROBES = (" ", "\n", "\u200b", "\ufffd", "\u4e2d", "\u0915", "\U0001f600", "\U0010fffd")
"""Texts that a tokenizer without bytes or an unknown token makes nothing of."""
_MARKS = ("\u0120", "\u2581", "##")
"""How tokenizers write a space in front of a token or its absence; texts do not have these characters."""

EMPTY_AS = " "
"""What an empty text is read as where it would have no token."""
AS_IT_IS = (
    "{% set text = namespace(all='') %}{% for message in messages %}"
    "{% set text.all = text.all + message['content'] %}{% endfor %}{{ text.all or ' ' }}"
)
"""The chat template that reads an empty text as a space. A prompt, which comes as a message, goes before the text."""


def reads_empty(tokenizer: Any) -> bool:  # noqa: ANN401
    """Whether the tokenizer itself has a token for an empty text."""
    return bool(tokenizer.backend_tokenizer.encode("").ids)


def ruled(
    tokenizer: Any,  # noqa: ANN401
    name: str,
    rows: int | None = None,
    *,
    end_token: bool = False,
    lower_case: bool = False,
) -> Any:  # noqa: ANN401
    """Make a tokenizer follow the rule.

    Args:
        tokenizer: a fast tokenizer of transformers; it is changed.
        name: the model's, for messages.
        rows: rows of the model's input embedding, where they are known.
        end_token: whether each text ends with an end token, as for last-token pooling.
        lower_case: whether texts become lower case before all else.

    Returns:
        A tokenizer of transformers' plain kind, because those of a model's own kind build themselves anew when they
        are loaded and would forget the rule.

    Raises:
        ModelError: the tokenizer is larger than the embedding, or makes nothing of a text.
    """
    from transformers import PreTrainedTokenizerFast

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"{name}: its tokenizer has no tokenizer.json: convert it to a fast tokenizer of transformers")
    if rows is not None:
        backend = _within(backend, name, rows)
    if lower_case:
        _lower(backend)
    known = backend.get_vocab()
    if not known:
        raise ModelError(f"{name}: its tokenizer has no tokens")
    named = {role: token for role in _ROLES if (token := _named(tokenizer, role)) in known}
    stand_in = next((named[role] for role in _STAND_INS if role in named), None) or _rarest(known)
    backend.no_padding()
    backend.no_truncation()
    if (end_token or _loses(backend, name, _PROBES)) and not _ends(backend):
        backend = _put_behind(backend, stand_in)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **({"pad_token": stand_in} | named),
        model_max_length=tokenizer.model_max_length,
        truncation_side=tokenizer.truncation_side,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def specials(tokenizer: Any) -> int:  # noqa: ANN401
    """How many tokens the tokenizer puts around a text."""
    added: int = tokenizer.backend_tokenizer.num_special_tokens_to_add(False)
    return added


_ROLES = ("eos_token", "bos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token")
_STAND_INS = ("eos_token", "bos_token", "unk_token", "pad_token")


def _named(tokenizer: Any, role: str) -> str | None:  # noqa: ANN401
    token = getattr(tokenizer, role, None)
    return None if token is None else str(token)


def _within(backend: Any, name: str, rows: int) -> Any:  # noqa: ANN401
    """The tokenizer without special tokens beyond the embedding, such as those for pictures: no text has them."""
    from tokenizers import Tokenizer

    added = backend.get_added_tokens_decoder()
    beyond = {token: place for token, place in backend.get_vocab().items() if place >= rows}
    if not beyond:
        return backend
    if meant := [token for token, place in beyond.items() if place not in added or not added[place].special]:
        token = min(meant, key=beyond.__getitem__)
        raise ModelError(
            f"{name}: its tokenizer is larger than its embedding: token {token[:40]!r} has the number {beyond[token]}, "
            f"and the embedding has {rows} rows: resize the embedding to the tokenizer"
        )
    content = json.loads(backend.to_str())
    content["added_tokens"] = [one for one in content["added_tokens"] if one["id"] < rows]
    smaller = Tokenizer.from_str(json.dumps(content))
    if used := [place for place in smaller.encode("a").ids if place >= rows]:
        raise ModelError(f"{name}: its tokenizer puts token {used[0]} around texts, the embedding has {rows} rows")
    return smaller


def _lower(backend: Any) -> None:  # noqa: ANN401
    """Make texts lower case before the tokenizer's own normaliser, once however often it is asked for."""
    from tokenizers import normalizers

    own = backend.normalizer
    state = json.loads(own.__getstate__()) if own is not None else {}
    first = state.get("normalizers", [{}])[0] if state.get("type") == "Sequence" else state
    if first.get("type") != "Lowercase":
        before = [normalizers.Lowercase()]
        backend.normalizer = normalizers.Sequence([*before, own] if own is not None else before)


def _ends(backend: Any) -> bool:  # noqa: ANN401
    """Whether the tokenizer puts a token behind each text by itself."""
    return bool((mask := backend.encode("a").special_tokens_mask) and mask[-1])


def _loses(backend: Any, name: str, texts: Iterable[str]) -> bool:  # noqa: ANN401
    """Whether the tokenizer makes nothing of one of these texts."""
    try:
        return any(not encoded.ids for encoded in backend.encode_batch(list(texts)))
    except Exception as error:  # the library has no class of its own
        raise ModelError(f"{name}: its tokenizer fails at unknown text: {first_line(error)[:100]}") from None


def _put_behind(backend: Any, token: str) -> Any:  # noqa: ANN401
    """The same tokenizer with a token behind each text, behind what its template puts there."""
    from tokenizers import Tokenizer, processors

    content = json.loads(backend.to_str())
    place = backend.token_to_id(token)
    if (template := _template(content["post_processor"])) is None:
        ours = processors.TemplateProcessing(
            single=["$A", token], pair=["$A", token, "$B", token], special_tokens=[(token, place)]
        )
        before = backend.post_processor
        backend.post_processor = ours if before is None else processors.Sequence([before, ours])
        return backend
    for kind in ("single", "pair"):
        template[kind].append({"SpecialToken": {"id": token, "type_id": 0}})
    template["special_tokens"][token] = {"id": token, "ids": [place], "tokens": [token]}
    return Tokenizer.from_str(json.dumps(content))


def _template(processor: Any) -> Any:  # noqa: ANN401 - JSON
    """The template among a tokenizer's post-processors; a second one behind it would repeat what it puts in front."""
    if not processor:
        return None
    if processor["type"] == "Sequence":
        return next(filter(None, map(_template, reversed(processor["processors"]))), None)
    return processor if processor["type"] == "TemplateProcessing" else None


def _rarest(known: dict[str, int]) -> str:
    """A token for padding where the tokenizer names none: one whose letters texts do not have."""

    def is_rare(token: str) -> bool:
        return token[:1] + token[-1:] in ("<>", "[]") or any(mark in token for mark in _MARKS)

    return max(known, key=lambda token: (is_rare(token), len(token), -known[token]))
