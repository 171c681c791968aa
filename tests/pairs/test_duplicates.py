"""Texts that nearly repeat an earlier one are found, others are not."""

import itertools
import random

import numpy as np

from embudget.pairs.duplicates import _signatures, near_duplicates


def _texts(count: int, length: int, seed: int = 0) -> list[list[str]]:
    draw = random.Random(seed)
    return [[f"w{draw.randrange(5000)}" for _ in range(length)] for _ in range(count)]


def test_planted_copies_are_found_and_nothing_else() -> None:
    texts = _texts(3000, 60)
    copies = [[*text[:30], "other", *text[31:]] for text in texts[:500]]  # Jaccard 59/63
    keys = [" ".join(text) for text in [*texts, *copies]]
    repeated = near_duplicates(keys)
    assert not repeated[:3000].any()
    assert repeated[3000:].mean() > 0.99


def test_below_the_threshold_stays() -> None:
    texts = _texts(500, 60, seed=1)
    halves = [[*text[:30], *other[30:]] for text, other in itertools.pairwise(texts)]  # Jaccard about 1/3
    assert not near_duplicates([" ".join(text) for text in [*texts, *halves]]).any()


def test_the_first_of_equal_texts_stays() -> None:
    assert near_duplicates(["a b c", "x y z", "a b c", "a b c"]).tolist() == [False, False, True, True]


def test_one_word_of_a_short_text_makes_a_difference() -> None:
    assert not near_duplicates(["the arn of the trail", "the arn of the stream", "trail", "stream"]).any()


def test_copies_of_each_other_are_found_in_a_bucket_led_by_a_third() -> None:
    base = _texts(1, 40, seed=2)[0]
    half = [*base[:24], *_texts(1, 16, seed=3)[0]]  # shares bands with the base, but is not near it
    keys = [" ".join(base), " ".join(half), " ".join([*half, "more"])]
    assert near_duplicates(keys).tolist() == [False, False, True]


def test_few_texts() -> None:
    assert near_duplicates([]).shape == (0,)
    assert near_duplicates(["a"]).dtype == np.bool_


def test_signatures_never_change() -> None:
    """Other hashes would drop other texts, so that the same sources would give other pairs."""
    assert _signatures(["deletes the bucket"])[0, :4].tolist() == [801482900, 495032719, 541229095, 399584987]
