import random
import time
from itertools import combinations, pairwise

import pytest

from embudget.training.chunks import BF16_CHUNK_OVERHEAD, CHUNK_OVERHEAD, _cheapest_cut, length_sorted_chunks


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


@pytest.mark.parametrize("overhead", [CHUNK_OVERHEAD, BF16_CHUNK_OVERHEAD])
@pytest.mark.parametrize("seed", range(12))
def test_no_cut_of_the_lengths_is_cheaper(seed: int, overhead: int) -> None:
    """Against every way to cut up to 10 distinct lengths, many texts of some."""
    rng = random.Random(seed)
    groups = [(length, rng.choice([1, 2, 30, 60])) for length in sorted(rng.sample(range(1, 30), 10), reverse=True)]

    def cost(ranges: list[tuple[int, int]]) -> int:
        padded = [groups[first][0] * sum(count for _, count in groups[first:last]) for first, last in ranges]
        return sum(one + overhead * -(-one // 300) for one in padded)

    every = (cuts for count in range(len(groups)) for cuts in combinations(range(1, len(groups)), count))
    cheapest = min(cost(list(pairwise((0, *cuts, len(groups))))) for cuts in every)
    assert cost(_cheapest_cut(groups, 300, overhead)) == cheapest


def test_a_batch_of_long_texts_is_cut_in_a_moment() -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 8192) for _ in range(4000)]
    started = time.perf_counter()
    chunks = length_sorted_chunks(lengths)
    assert time.perf_counter() - started < 2, "3 million steps of the whole table would take longer"
    assert sorted(text for chunk in chunks for text in chunk) == list(range(4000))
    assert all(len(chunk) == 1 or len(chunk) * lengths[chunk[0]] <= 2048 for chunk in chunks)
