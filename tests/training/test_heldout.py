import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embudget.errors import PairsError
from embudget.pairs import Pairs, index_pairs
from embudget.suite.loading import load_embedder
from embudget.training.heldout import embed, held_out
from embudget.training.loss import info_nce
from embudget.training.yardstick import check_yardstick


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
    measured = held_out(model, tiny_pairs, 32, 16, 40.0)
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
    assert held_out(model, tiny_pairs, count, candidates, 40.0) == wanted


def test_two_questions_of_one_answer_are_both_right(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    """Compared row by row, each positive ties with its equal: accuracy 0, and a loss that is ln 2 too high and more."""
    model, rows = load_embedder(str(tiny_neox), 48), answers_with_two_questions(tiny_text)
    measured = held_out(model, indexed(tmp_path / "twice", rows), 48, 48, 40.0)
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
    measured = held_out(model, indexed(tmp_path / "several", rows), 24, 24, 40.0)
    turned = held_out(model, indexed(tmp_path / "turned", [(b, a) for a, b in rows]), 24, 24, 40.0)
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
    alone = held_out(model, indexed(tmp_path / "alone", [(a, b), (c, d)]), 2, 2, 40.0)
    both = held_out(model, indexed(tmp_path / "both", [(a, b), (c, d), (a, d), (e, f)]), 4, 2, 40.0)
    assert alone.chance == math.log(2)
    # in the first group a has the right answers b and d, c only d; in the second a has d, e has f
    assert both.chance == pytest.approx(((math.log(2) / 2 + math.log(2) / 2) / 2 + math.log(2)) / 2)


def test_the_own_text_of_a_query_is_no_wrong_answer(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    """Training keeps a pair whose positive is another's query out of its batch, since no model could tell the two."""
    model = load_embedder(str(tiny_neox), 32)
    a, b, c, d = tiny_text[:4]
    measured = held_out(model, indexed(tmp_path / "chain", [(a, b), (c, a), (d, c)]), 3, 3, 40.0)
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
    check_yardstick(pairs, 32, 32)
    check_yardstick(pairs, 32, 32)
    assert len(caplog.messages) == 1, "once, however many runs ask"
    assert "3 of 32 positives are distinct" in caplog.text
    with pytest.raises(PairsError, match="must hold a query with a wrong answer, got 1 distinct positives in 8"):
        check_yardstick(indexed(tmp_path / "one", [(text, "yes") for text in tiny_text]), 8, 8)


def test_embeddings_do_not_depend_on_their_neighbours(tiny_llama: Path, tiny_text: list[str]) -> None:
    model = load_embedder(str(tiny_llama), 32)
    together = embed(model, tiny_text, chunk_tokens=10_000)
    for row, text in zip(together, tiny_text, strict=True):
        assert (embed(model, [text])[0] - row).abs().max() < 1e-5
