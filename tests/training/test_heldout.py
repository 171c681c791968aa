import math
import random
from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embudget.errors import PairsError
from embudget.pairs import Pairs, index_pairs
from embudget.pairs.sample import Drawn, draw_evenly
from embudget.records import Yardstick, standard_error
from embudget.suite.loading import load_embedder
from embudget.training.heldout import HeldOut, embed, held_out
from embudget.training.loss import info_nce
from embudget.training.yardstick import (
    MOST_LISTED,
    check_yardstick,
    counts_for,
    error_expected,
    listed_groups,
)


def indexed(folder: Path, rows: list[tuple[str, str]]) -> Pairs:
    """Pairs whose validation rows are exactly these."""
    folder.mkdir()
    queries, positives = zip(*rows, strict=True)
    validation = pa.table({"query": queries, "positive": positives})
    other = [pa.table({"query": [f"{split} query"], "positive": [f"{split} answer"]}) for split in ("train", "test")]
    for split, table in zip(("train", "test", "validation"), [*other, validation], strict=True):
        pq.write_table(table, folder / f"{split}.parquet")
    return index_pairs(folder)


def answers_with_two_questions(text: list[str], answers: int = 24) -> list[tuple[str, str]]:
    answer = [f"{text[number % len(text)]} Answer {number}." for number in range(answers)]
    return [
        (f"{way} {text[number % 8][:20]} {number}?", answer[number])
        for way in ("Who", "Why")
        for number in range(answers)
    ]


def test_equals_the_loss_over_each_group_of_candidates(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    table = tiny_pairs.table("validation")
    queries = embed(model, table["query"].to_pylist()[:32])
    positives = embed(model, table["positive"].to_pylist()[:32])
    halves = [info_nce(queries[start : start + 16], positives[start : start + 16], 40.0) for start in (0, 16)]
    measured = held_out(model, tiny_pairs, 32, 16, 40.0, "first")
    assert measured.loss == pytest.approx(sum(half.item() for half in halves) / 2, abs=1e-5)
    scores = [queries[start : start + 16] @ positives[start : start + 16].T for start in (0, 16)]
    ranks = [1 + int((row > row[index]).sum()) for half in scores for index, row in enumerate(half)]
    assert measured.accuracy == pytest.approx(ranks.count(1) / 32)
    assert measured.ndcg == pytest.approx(sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10) / 32)
    assert measured.accuracy < measured.ndcg < 1
    assert measured.chance == math.log(16)


@pytest.mark.parametrize(("count", "candidates"), [(32, 16), (33, 11), (36, 36)])
def test_without_repeats_not_a_bit_differs_from_the_plain_measure(
    tiny_neox: Path, tiny_pairs: Pairs, count: int, candidates: int
) -> None:
    """Otherwise runs recorded before texts could repeat would not be comparable with new ones."""
    model = load_embedder(str(tiny_neox), 32)
    table = tiny_pairs.head("validation", count)
    queries = embed(model, table["query"].to_pylist()).split(candidates)
    positives = embed(model, table["positive"].to_pylist()).split(candidates)
    groups = list(zip(queries, positives, strict=True))
    losses = [info_nce(q, p, 40.0).item() for q, p in groups]
    scores = [q @ p.T for q, p in groups]
    ranks = torch.cat([(one >= one.diagonal()[:, None]).sum(dim=1) for one in scores])
    gains = (1 / torch.log2(1.0 + ranks)).where(ranks <= 10, 0.0)
    wanted = (sum(losses) / len(losses), ranks.eq(1).float().mean().item(), gains.mean().item(), math.log(candidates))
    assert held_out(model, tiny_pairs, count, candidates, 40.0, "first")[:4] == wanted


def test_two_questions_of_one_answer_are_both_right(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    """Compared row by row, each positive ties with its equal: accuracy 0, and a loss that is ln 2 too high and more."""
    model, rows = load_embedder(str(tiny_neox), 48), answers_with_two_questions(tiny_text)
    measured = held_out(model, indexed(tmp_path / "twice", rows), 48, 48, 40.0, "first")
    questions, answers = embed(model, [query for query, _ in rows]), embed(model, [answer for _, answer in rows[:24]])
    scores = 40.0 * questions @ answers.T
    own = torch.arange(48) % 24
    to_answers = torch.nn.functional.cross_entropy(scores, own)
    # the other question of an answer is no wrong one
    others = [[row for row in range(48) if row % 24 != own[pair] or row == pair] for pair in range(48)]
    to_questions = [
        torch.nn.functional.cross_entropy(scores[kept, own[pair]][None], torch.tensor([kept.index(pair)]))
        for pair, kept in enumerate(others)
    ]
    assert measured.loss == pytest.approx(float(to_answers + torch.stack(to_questions).mean()) / 2, abs=1e-5)
    assert measured.chance == pytest.approx((math.log(24) + math.log(47)) / 2)
    assert measured.accuracy == pytest.approx(float((scores.argmax(dim=1) == own).float().mean()))
    assert measured.accuracy > 0


def test_several_answers_of_one_question_are_all_right(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    model = load_embedder(str(tiny_neox), 48)
    rows = [(answer, question) for question, answer in answers_with_two_questions(tiny_text, 12)]
    measured = held_out(model, indexed(tmp_path / "several", rows), 24, 24, 40.0, "first")
    turned = held_out(model, indexed(tmp_path / "turned", [(b, a) for a, b in rows]), 24, 24, 40.0, "first")
    assert measured.loss == pytest.approx(turned.loss, abs=1e-5), "the loss has both directions"
    assert measured.chance == pytest.approx(turned.chance)
    questions = [embed(model, [text])[0] for text in dict.fromkeys(query for query, _ in rows)]
    answers = torch.stack([embed(model, [answer])[0] for _, answer in rows])
    firsts, gains = [], []
    for place, question in enumerate(questions):
        order = (answers @ question).argsort(descending=True).tolist()
        ranks = [1 + order.index(place), 1 + order.index(place + 12)]
        firsts.append(min(ranks) == 1)
        gains.append(sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10) / (1 + 1 / math.log2(3)))
    assert measured.accuracy == pytest.approx(sum(firsts) / 12)
    assert measured.ndcg == pytest.approx(sum(gains) / 12)


def test_a_pair_in_one_group_is_right_in_all(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    """A question's second answer, known from another group, would else be a wrong one where it is someone's first."""
    model = load_embedder(str(tiny_neox), 32)
    a, b, c, d, e, f = tiny_text[:6]
    alone = held_out(model, indexed(tmp_path / "alone", [(a, b), (c, d)]), 2, 2, 40.0, "first")
    both = held_out(model, indexed(tmp_path / "both", [(a, b), (c, d), (a, d), (e, f)]), 4, 2, 40.0, "first")
    assert alone.chance == math.log(2)
    # in the first group a has the right answers b and d, c only d; in the second a has d, e has f
    assert both.chance == pytest.approx(((math.log(2) / 2 + math.log(2) / 2) / 2 + math.log(2)) / 2)


def test_the_own_text_of_a_query_is_no_wrong_answer(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    """Training keeps a pair whose positive is another's query out of its batch, since no model could tell the two."""
    model = load_embedder(str(tiny_neox), 32)
    a, b, c, d = tiny_text[:4]
    measured = held_out(model, indexed(tmp_path / "chain", [(a, b), (c, a), (d, c)]), 3, 3, 40.0, "first")
    assert measured.accuracy < 1 or measured.loss < math.log(3), "a itself is not before b"
    assert measured.chance < math.log(3)


def test_equal_embeddings_give_chance(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    assert held_out(model, tiny_pairs, 16, 16, scale=1e-9).loss == pytest.approx(math.log(16))


@pytest.mark.parametrize("candidates", [16, 48])
def test_equal_embeddings_give_chance_where_texts_repeat(
    tmp_path: Path, tiny_neox: Path, tiny_text: list[str], candidates: int
) -> None:
    pairs = indexed(tmp_path / "twice", sorted(answers_with_two_questions(tiny_text), key=lambda row: row[1]))
    measured = held_out(load_embedder(str(tiny_neox), 32), pairs, 48, candidates, scale=1e-9)
    assert measured.loss == pytest.approx(measured.chance)
    assert measured.chance < math.log(candidates)


def test_few_distinct_texts_warn_and_one_is_refused(
    tmp_path: Path, tiny_text: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    labels = [(f"{text} {number}", f"label {number % 3}") for number, text in enumerate(tiny_text * 4)]
    pairs = indexed(tmp_path / "labels", labels)
    check_yardstick(pairs, 32, 32, "first")
    check_yardstick(pairs, 32, 32, "first")
    assert len(caplog.messages) == 1, "once, however many runs ask"
    assert "3 of 32 positives are distinct" in caplog.text
    with pytest.raises(PairsError, match="must hold a query with a wrong answer, got 1 distinct positives in 8"):
        check_yardstick(indexed(tmp_path / "one", [(text, "yes") for text in tiny_text]), 8, 8, "first")


def test_embeddings_do_not_depend_on_their_neighbours(tiny_llama: Path, tiny_text: list[str]) -> None:
    model = load_embedder(str(tiny_llama), 32)
    together = embed(model, tiny_text, chunk_tokens=10_000)
    for row, text in zip(together, tiny_text, strict=True):
        assert (embed(model, [text])[0] - row).abs().max() < 1e-5


def grouped(folder: Path, rows: list[tuple[str, str]], groups: int) -> Pairs:
    """Pairs whose validation rows are these, in so many groups of two sources."""
    pairs = indexed(folder, rows)
    table = pq.read_table(folder / "validation.parquet")
    names = {
        "group": [f"g{row % groups}" for row in range(len(rows))],
        "source": ["ab"[row % 2] for row in range(len(rows))],
    }
    for name, values in names.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, folder / "validation.parquet")
    return index_pairs(pairs.folder)


def whole(measured: HeldOut) -> float:
    """The mean over groups, weighted by their pairs."""
    scores = measured.groups.values()
    return sum(one.pairs * one.loss for one in scores) / sum(one.pairs for one in scores)


@pytest.mark.parametrize("yardstick", ["groups", "first"])
@pytest.mark.parametrize(("count", "candidates"), [(32, 16), (33, 11), (45, 16), (36, 36)])
def test_the_groups_make_up_the_loss(
    tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs, count: int, candidates: int, yardstick: Yardstick
) -> None:
    model = load_embedder(str(tiny_neox), 32)
    rows = list(
        zip(*(tiny_pairs.head("validation", 60)[side].to_pylist() for side in ("query", "positive")), strict=True)
    )
    pairs = grouped(tmp_path / "p", rows, 6)
    measured = held_out(model, pairs, count, candidates, 40.0, yardstick)
    assert whole(measured) == pytest.approx(measured.loss, abs=1e-6)
    assert sum(one.pairs for one in measured.groups.values()) == count
    assert set(measured.groups) == {f"{'ab'[n % 2]}/g{n}" for n in range(6)}
    ndcg = sum(one.pairs * one.ndcg for one in measured.groups.values()) / count
    assert ndcg == pytest.approx(measured.ndcg, abs=1e-4), "each query stands in one pair"
    assert measured.chance == pytest.approx(math.log(candidates))


@pytest.mark.parametrize(("count", "candidates"), [(48, 48), (40, 16)])
def test_the_groups_make_up_the_loss_where_texts_repeat(
    tmp_path: Path, tiny_neox: Path, tiny_text: list[str], count: int, candidates: int
) -> None:
    model = load_embedder(str(tiny_neox), 48)
    rows = answers_with_two_questions(tiny_text)
    for name, ordered in (("one", rows), ("turned", [(b, a) for a, b in rows])):
        measured = held_out(model, grouped(tmp_path / name, ordered, 8), count, candidates, 40.0)
        assert whole(measured) == pytest.approx(measured.loss, abs=1e-6)
        assert sum(one.pairs for one in measured.groups.values()) == count
        assert measured.chance < math.log(candidates)


def test_a_query_of_two_groups_counts_in_both(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    """Its nDCG is over all its right answers, whatever group they are of; its pairs' losses are of their own group."""
    a, b, c, d, e, f = tiny_text[:6]
    pairs = grouped(tmp_path / "p", [(a, b), (a, c), (d, e), (f, e)], 2)
    measured = held_out(load_embedder(str(tiny_neox), 32), pairs, 4, 4, 40.0)
    by_query = {query: held_out_ndcg(pairs, str(tiny_neox), query) for query in (a, d, f)}
    assert measured.groups["a/g0"].ndcg == pytest.approx((by_query[a] + by_query[d]) / 2, abs=1e-4)
    assert measured.groups["b/g1"].ndcg == pytest.approx((by_query[a] + by_query[f]) / 2, abs=1e-4)
    assert measured.ndcg == pytest.approx(sum(by_query.values()) / 3, abs=1e-6)


def held_out_ndcg(pairs: Pairs, model: str, query: str) -> float:
    """nDCG@10 of one query among the distinct positives, by its definition."""
    embedder, rows = load_embedder(model, 32), pairs.table("validation").to_pylist()
    documents = list(dict.fromkeys(row["positive"] for row in rows))
    right = [documents.index(row["positive"]) for row in rows if row["query"] == query]
    order = (embed(embedder, documents) @ embed(embedder, [query])[0]).argsort(descending=True).tolist()
    ranks = [1 + order.index(place) for place in right]
    return sum(1 / math.log2(1 + rank) for rank in ranks) / sum(1 / math.log2(2 + n) for n in range(len(right)))


def test_the_pairs_of_a_short_last_block_have_as_many_candidates(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    """45 pairs of blocks of 16: the last three of the third block count, and are compared with the 16 before."""
    model = load_embedder(str(tiny_neox), 32)
    drawn = draw_evenly(tiny_pairs, "validation", 45)
    q, p = (embed(model, list(side)) for side in list(zip(*drawn, strict=True))[:2])
    losses = []
    for start, new in ((0, 0), (16, 0), (29, 3)):
        scores = 40 * q[start : start + 16] @ p[start : start + 16].T
        own = torch.arange(16)
        both = [torch.nn.functional.cross_entropy(one, own, reduction="none") for one in (scores, scores.T)]
        losses += ((both[0] + both[1]) / 2)[new:].tolist()
    assert len(losses) == 45
    assert held_out(model, tiny_pairs, 45, 16, 40.0).loss == pytest.approx(sum(losses) / 45, abs=1e-5)


def test_the_measure_is_the_same_in_another_order_of_the_rows(
    tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs
) -> None:
    rows = list(
        zip(*(tiny_pairs.head("validation", 60)[side].to_pylist() for side in ("query", "positive")), strict=True)
    )
    model = load_embedder(str(tiny_neox), 32)
    one, other = (
        held_out(model, indexed(tmp_path / n, order), 40, 20, 40.0) for n, order in (("a", rows), ("b", rows[::-1]))
    )
    assert one.loss == pytest.approx(other.loss, abs=1e-6) and one.groups.keys() == other.groups.keys()


def test_a_record_lists_some_groups_of_many_and_the_error_stays() -> None:
    rng = random.Random(0)
    drawn = [Drawn(f"q{n}", f"p{n}", f"{'ab'[n % 2]}/{n // 2}") for n in range(2048)]
    names = listed_groups(drawn)
    assert len(set(names)) == MOST_LISTED and set(Counter(names).values()) == {4}
    assert {name.partition("/")[0] for name in names} == {"a", "b"}
    errors = []
    for _ in range(50):
        loss = [rng.gauss(3, 1) for _ in drawn]
        sums: defaultdict[str, list[float]] = defaultdict(list)
        for name, one in zip(names, loss, strict=True):
            sums[name].append(one)
        errors.append(standard_error([len(of) for of in sums.values()], [fmean(of) for of in sums.values()]))
    assert fmean(errors) == pytest.approx(1 / math.sqrt(2048), rel=0.02)
    assert listed_groups(drawn[:200]) == [pair.group for pair in drawn[:200]]


def test_few_groups_are_said_once_with_the_error_to_expect(
    tmp_path: Path, tiny_text: list[str], tiny_pairs: Pairs, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(f"What of {number}? {text}", f"{number} says {text}") for number, text in enumerate(tiny_text[:6] * 2)]
    pairs = indexed(tmp_path / "dozen", rows)
    assert counts_for(pairs) == (12, 12)
    for _ in range(2):
        check_yardstick(pairs, 12, 12, "groups")
    assert len(caplog.messages) == 1
    assert f"12 validation pairs of 12 groups, since {pairs.folder} holds no more" in caplog.text
    assert f"a standard error of about {error_expected(12, 12):.2g} nats" in caplog.text
    caplog.clear()
    check_yardstick(pairs, 12, 12, "first")
    assert not caplog.messages, "records from before are what they are"
    with pytest.raises(PairsError, match=r"must hold 13 validation pairs \(eval_pairs\), got 12: leave eval_pairs out"):
        counts_for(pairs, 13)
    with pytest.raises(PairsError, match=r"eval_candidates must be <= eval_pairs=12, got 64: .* holds 12 validation"):
        counts_for(pairs, None, 64)


def test_many_groups_are_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [(f"Which is number {number}?", f"The one after {number - 1}.") for number in range(1100)]
    pairs = indexed(tmp_path / "many", rows)
    assert counts_for(pairs) == (1024, 512)
    check_yardstick(pairs, 1024, 512, "groups")
    check_yardstick(pairs, 100, 100, "groups")  # the user wants no more
    assert not caplog.messages
