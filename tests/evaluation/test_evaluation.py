from pathlib import Path

import numpy as np
import pytest
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from embudget.errors import ConfigError, ModelError
from embudget.evaluation import evaluate, load_model
from embudget.evaluation.ranking import ranks, score
from embudget.evaluation.systems import BASELINES
from embudget.pairs import Pairs
from embudget.suite.loading import load_embedder


def test_ranks_and_scores_by_hand() -> None:
    scores_QD = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5]])
    assert ranks(scores_QD, np.array([0, 2])).tolist() == [1, 2]
    result = score(np.array([1.0, 3.0, 11.0, 40.0]))
    assert result.ndcg_at_10 == pytest.approx((1 + 0.5) / 4)
    assert result.mrr_at_10 == pytest.approx((1 + 1 / 3) / 4)
    assert result.recall_at_10 == 0.5


def test_a_system_of_equal_scores_gets_no_free_hits() -> None:
    found = ranks(np.zeros((3, 101)), np.array([0, 50, 100]))
    assert found.tolist() == [51, 51, 51]


def test_equals_sentence_transformers(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    table = tiny_pairs.table("test")
    documents = {str(number): text for number, text in enumerate(dict.fromkeys(table["positive"].to_pylist()))}
    place = {text: key for key, text in documents.items()}
    queries = {f"q{number}": text for number, text in enumerate(table["query"].to_pylist())}
    relevant = {f"q{number}": {place[text]} for number, text in enumerate(table["positive"].to_pylist())}
    theirs = InformationRetrievalEvaluator(queries, documents, relevant, write_csv=False)(model)
    ours = evaluate(model, tiny_pairs, baselines=False).scores["model"]
    assert ours.ndcg_at_10 == pytest.approx(theirs["cosine_ndcg@10"], abs=1e-6)
    assert ours.mrr_at_10 == pytest.approx(theirs["cosine_mrr@10"], abs=1e-6)
    assert ours.recall_at_10 == pytest.approx(theirs["cosine_recall@10"], abs=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_a_lexical_baseline_finds_the_document_with_the_words(name: str) -> None:
    documents = ["the cat sleeps in the sun", "a bucket stores objects", "gradients flow backwards"]
    queries = ["which bucket has objects", "do gradients flow", "xyzzy"]
    scores = BASELINES[name](queries, documents)
    assert scores.shape == (3, 3)
    assert scores[:2].argmax(axis=1).tolist() == [1, 2]
    assert np.ptp(scores[2]) == 0, "unknown words say nothing"


def test_evaluation_scores_every_system_and_prints(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    result = evaluate(model, tiny_pairs, against={"other": model}, max_queries=20)
    assert list(result.scores) == ["model", "other", "BM25", "TF-IDF"]
    assert result.scores["model"] == result.scores["other"]
    assert result.scores["model"].queries == 20
    assert "BM25" in str(result)


def test_names_must_differ_and_embeddings_be_finite(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    with pytest.raises(ConfigError, match="cannot be called 'model'"):
        evaluate(model, tiny_pairs, against={"model": model})
    model[0].model.final_layer_norm.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="the embeddings of 'model' are not finite"):
        evaluate(model, tiny_pairs)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"modules\.json is missing"):
        load_model(tmp_path)
    (tmp_path / "modules.json").write_text("[]broken")
    with pytest.raises(ModelError, match="cannot load"):
        load_model(tmp_path)
