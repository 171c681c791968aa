"""A pair is dropped for the first rule it breaks, and counted; no text stays twice."""

import gc
from collections import Counter
from contextlib import nullcontext

import pytest

from embudget.pairs import RawPair, Rules
from embudget.pairs.cleaning import Cleaned, clean

from .conftest import MadeSource, made_pairs

GOOD = RawPair("Deletes the whole bucket.", "All objects inside of it are lost for ever.", "s3")


def _clean(*pairs: RawPair, rules: Rules | None = None, limit: int | None = None, seed: int = 0) -> Cleaned:
    return clean([MadeSource(pairs, rules=rules)], limit, seed, lambda stage, count: None)


@pytest.mark.parametrize(
    ("query", "positive", "reason"),
    [
        ("Two words", "There are enough words on this side.", "query too short"),
        ("There are enough words.", "Not enough on this", "positive too short"),
        ("There are enough words.", "{1: [2, 3, 4], 5: {6, 7}} == 12 - 3 % 4 a b", "not prose"),
        ("The name of one small table.", "the NAME of one  small table!", "positive repeats query"),
        ("The name of the new table in Paris.", "The name in Paris of the new table.", "positive repeats query"),
        (GOOD.query, "A quite different text stands on this side.", "duplicate query"),
        ("deletes the WHOLE bucket", "A quite different text stands on this side.", "duplicate query"),
        ("A quite different text here.", GOOD.positive, "duplicate positive"),
        ("All objects inside of it are lost for ever!", "A quite different text here.", "duplicate query"),
        ("A quite different text here.", "Deletes the whole bucket", "positive too short"),
    ],
)  # fmt: skip
def test_a_bad_pair_is_dropped_for_its_reason(query: str, positive: str, reason: str) -> None:
    result = _clean(GOOD, RawPair(query, positive, "s3"))
    assert [row.query for row in result.rows] == [GOOD.query]
    assert result.dropped == {"made": Counter({reason: 1})}
    assert result.read == Counter(made=2)


def test_near_duplicates_are_dropped_on_both_sides_over_all_sources() -> None:
    long = " ".join(f"word{number}x" for number in range(40))
    other = " ".join(f"term{number}y" for number in range(40))
    first = MadeSource(
        [RawPair(long, "One positive text stands here.", "a"), RawPair("A query stands here", other, "a")]
    )
    second = MadeSource(
        [
            RawPair(long + " more", "Some further text for this pair.", "b"),
            RawPair("Whatever one asks for", other + " more", "b"),
        ],
        name="second",
    )
    for source in (first, second):
        source.rules = Rules(prose=False)
    result = clean([first, second], None, 0, lambda stage, count: None)
    assert {row.source for row in result.rows} == {"made"}
    assert result.dropped["second"] == Counter({"near-duplicate query": 1, "near-duplicate positive": 1})


def test_texts_are_normalised_and_cut() -> None:
    (row,) = _clean(RawPair(" The\u00a0long\n query ", "many words " * 200, "g")).rows
    assert row.query == "The long query"
    assert len(row.positive) <= 1000 and row.positive.endswith(("many", "words"))


def test_groups_are_unique_over_sources_and_rows_without_one_stand_alone() -> None:
    pairs = [RawPair(query, positive, None) for query, positive, *_ in made_pairs(1, 20)]
    assert len({row.group for row in _clean(*pairs).rows}) == 20
    assert _clean(GOOD).rows[0].group == "made/s3"


def test_users_short_texts_may_stay() -> None:
    rules = Rules(query_words=1, positive_words=1, prose=False)
    pairs = [
        RawPair("Is Paris or Rome larger?", "Rome", None),
        RawPair("+", "an operator", None),
        RawPair("x", "", None),
    ]
    result = _clean(*pairs, rules=rules)
    assert {row.positive for row in result.rows} == {"Rome", "an operator"}
    assert result.dropped["made"] == Counter({"positive too short": 1})


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("fails", [None, KeyboardInterrupt()])
def test_garbage_collection_is_as_it_was(enabled: bool, fails: BaseException | None) -> None:
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(KeyboardInterrupt) if fails else nullcontext():
            clean([MadeSource([GOOD], fails=fails)], None, 0, lambda stage, count: None)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_limit_takes_a_random_subset_that_grows_with_it() -> None:
    pairs = made_pairs(10, 30)
    everything, ten, five = (_clean(*pairs, limit=limit).rows for limit in (None, 10, 5))
    assert ten[:5] == five and everything[:10] == ten and len(ten) == 10
    assert _clean(*pairs, limit=10, seed=1).rows != ten
    assert _clean(*pairs, limit=10).dropped["made"]["over the limit"] == len(everything) - 10


def test_order_does_not_depend_on_the_order_of_reading() -> None:
    pairs = made_pairs(10, 30)
    assert _clean(*pairs).rows == _clean(*reversed(pairs)).rows


def test_made_pairs_all_survive() -> None:
    # the other tests of this folder rely on it
    assert len(_clean(*made_pairs(20, 20)).rows) == 400
