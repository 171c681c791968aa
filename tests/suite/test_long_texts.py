"""A text of a megabyte is cut at no more cost than a page, to the same tokens."""

import time
from pathlib import Path

import numpy as np
import pytest

from embudget.pairs import Pairs
from embudget.pairs.token_cache import TokenCache
from embudget.suite.loading import load_embedder, load_tokenizer
from embudget.suite.long_texts import LEAST, beginning
from embudget.training.heldout import embed

MEGABYTE = 2**20
TEXTS = {
    "words": "Opens the connection, sends one request and waits 12345 times; no\tmore.\n\n" * (MEGABYTE // 70),
    "spaces first": " \n" * 5000 + "the answer " * (MEGABYTE // 11),
    "other scripts": "\u4e2d\u6587 \u0915\u094d\u0937 \U0001f600 " * (MEGABYTE // 20),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("length", [9, 75, 400])
def test_the_tokens_are_those_of_the_whole_text(tiny_llama: Path, kind: str, length: int) -> None:
    text, tokenizer = TEXTS[kind][:60_000], load_tokenizer(str(tiny_llama))
    whole = tokenizer(text, truncation=True, max_length=length)["input_ids"]
    part = beginning(text, length, lambda one: len(tokenizer(one, truncation=True, max_length=length)["input_ids"]))
    assert len(part) < len(text)
    assert tokenizer(part, truncation=True, max_length=length)["input_ids"] == whole


def test_a_tokenizer_that_drops_white_space_sees_as_much_as_it_needs() -> None:
    text = " " * 100_000 + "a b c d e"
    seen: list[int] = []

    def count(part: str) -> int:
        seen.append(len(part))
        return min(3, len(part.split()))

    assert beginning(text, 3, count) == text, "the first words come late"
    assert len(seen) < 8, "twice as far each time"
    assert beginning("short", 3, count) == "short"


def test_a_megabyte_is_trained_on_and_measured_as_a_page(tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """One word of a megabyte too, which no white space parts."""
    cache, model = TokenCache(tiny_pairs, str(tiny_llama), 32, folder=tmp_path), load_embedder(str(tiny_llama), 32)
    texts = [*(text[:MEGABYTE] for text in TEXTS.values()), "a" * MEGABYTE]
    started = time.process_time()
    ids = cache._tokenise(texts).to_pylist()
    embedded = embed(model, texts)
    seconds = time.process_time() - started
    assert [len(one) for one in ids] == [32] * 4
    pages = embed(model, [text[: 2 * LEAST] for text in texts])
    assert np.allclose(embedded.cpu(), pages.cpu(), atol=1e-5)
    assert seconds < 2.0, f"{seconds:.1f} s of the processor for four megabytes"
