import random

import pytest

from embudget.training.chunks import length_sorted_chunks


@pytest.mark.parametrize("count", [1, 2, 7, 64, 500])
def test_every_text_is_in_one_chunk_and_no_chunk_is_too_large(count: int) -> None:
    lengths = [random.Random(count).randint(1, 75) for _ in range(count)]
    chunks = length_sorted_chunks(lengths, chunk_tokens=300)
    assert sorted(text for chunk in chunks for text in chunk) == list(range(count))
    for chunk in chunks:
        assert lengths[chunk[0]] == max(lengths[text] for text in chunk)
        assert len(chunk) * lengths[chunk[0]] <= 300


def test_a_text_longer_than_a_chunk_stands_alone() -> None:
    assert sorted(length_sorted_chunks([400, 3, 400], chunk_tokens=300), key=len) == [[0], [2], [1]]


def test_sorting_saves_most_of_the_padding() -> None:
    lengths = [75] * 8 + [15] * 8
    padded = sum(len(chunk) * lengths[chunk[0]] for chunk in length_sorted_chunks(lengths))
    assert padded == sum(lengths)


def test_equal_lengths_make_one_chunk() -> None:
    assert length_sorted_chunks([9, 9, 9]) == [[0, 1, 2]]
