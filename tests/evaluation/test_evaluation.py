import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.modules import Dense, Router, StaticEmbedding

from embudget.errors import ConfigError, ModelError, PairsError
from embudget.evaluation import evaluate, load_model
from embudget.evaluation.ranking import score
from embudget.evaluation.systems import BASELINES, embedding_system
from embudget.pairs import Pairs, index_pairs
from embudget.pairs.relevance import ranks_of_right, relevance_of
from embudget.suite.loading import load_embedder, load_tokenizer


def test_ranks_and_scores_by_hand() -> None:
    relevance = relevance_of(["q1", "q2", "q3"], ["a", "b", "c"])
    scores_QD = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.5, 0.9, 0.5]])
    assert ranks_of_right(scores_QD, relevance, "half")[1].tolist() == [1, 3, 2.5]
    assert ranks_of_right(scores_QD, relevance, "last")[1].tolist() == [1, 3, 3]
    result = score(scores_QD, relevance)
    assert result.ndcg_at_10 == pytest.approx((1 + 0.5 + 1 / np.log2(3.5)) / 3)
    assert result.mrr_at_10 == pytest.approx((1 + 1 / 3 + 1 / 2.5) / 3)
    assert result.recall_at_10 == 1


def test_several_right_answers_by_hand() -> None:
    """A repeated query is one query with two right answers, of which none stands before the other as a wrong one."""
    relevance = relevance_of(["q", "q", "other"], ["a", "b", "c"])
    assert (relevance.queries, relevance.documents) == (["q", "other"], ["a", "b", "c"])
    result = score(np.array([[0.1, 0.9, 0.5], [0.1, 0.2, 0.3]]), relevance)
    assert result.queries == 2
    assert result.ndcg_at_10 == pytest.approx(((1 + 1 / 2) / (1 + 1 / np.log2(3)) + 1) / 2)
    assert result.mrr_at_10 == 1
    assert result.recall_at_10 == 1


def test_a_querys_own_text_is_no_candidate() -> None:
    relevance = relevance_of(["a", "b"], ["b", "c"])
    scores_QD = np.array([[0.1, 0.5], [1.0, 0.5]])  # the text b is its own best match
    assert ranks_of_right(scores_QD, relevance, "last")[1].tolist() == [2, 1]


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_scikit_learn(seed: int) -> None:
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(seed)
    places = rng.integers(0, 30, 60), rng.integers(0, 40, 60)
    relevance = relevance_of([f"q{place}" for place in places[0]], [f"d{place}" for place in places[1]])
    scores_QD = rng.normal(size=relevance.right_QD.shape)
    wanted = ndcg_score(relevance.right_QD, scores_QD, k=10)
    assert score(scores_QD, relevance).ndcg_at_10 == pytest.approx(wanted)


def test_a_system_of_equal_scores_gets_no_free_hits() -> None:
    relevance = relevance_of([f"q{number}" for number in range(101)], [f"d{number}" for number in range(101)])
    assert set(ranks_of_right(np.zeros((101, 101)), relevance, "half")[1].tolist()) == {51}
    assert score(np.zeros((101, 101)), relevance).ndcg_at_10 == 0


def repeated(folder: Path, text: list[str]) -> Pairs:
    """Test pairs in which every answer has two questions, and every third question two answers."""
    rows = [
        (f"{way} {line[:20]}?", f"{line} Number {number}.")
        for way in ("Who", "Why")
        for number, line in enumerate(text)
    ]
    rows += [(query, f"{positive} Or so.") for query, positive in rows[::3]]
    folder.mkdir()
    for split, asked in (("train", "When"), ("validation", "Where"), ("test", "What")):
        queries, positives = zip(*[(f"{asked} or {query}", positive) for query, positive in rows], strict=True)
        pq.write_table(pa.table({"query": queries, "positive": positives}), folder / f"{split}.parquet")
    return index_pairs(folder)


@pytest.mark.parametrize("repeats", [False, True])
def test_equals_sentence_transformers(
    tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs, tiny_text: list[str], repeats: bool
) -> None:
    model = load_embedder(str(tiny_neox), 100)  # no text is cut, so that none tie
    pairs = repeated(tmp_path / "pairs", tiny_text) if repeats else tiny_pairs
    table = pairs.table("test")
    asked, positives = table["query"].to_pylist(), table["positive"].to_pylist()
    documents = {text: text for text in positives}
    relevant: dict[str, set[str]] = {}
    for query, positive in zip(asked, positives, strict=True):
        relevant.setdefault(query, set()).add(positive)
    queries = {text: text for text in asked}
    theirs = InformationRetrievalEvaluator(queries, documents, relevant, write_csv=False)(model)
    result = evaluate(model, pairs, baselines=False)
    ours = result.scores["model"]
    assert (ours.queries, result.documents) == (len(queries), len(documents))
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


def test_folders_may_stand_for_model_and_pairs(tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    model.save_pretrained(str(tmp_path / "model"))
    folder = str(tmp_path / "model")
    result = evaluate(folder, str(tiny_pairs.folder), against={"other": folder}, baselines=False, max_queries=20)
    assert result == evaluate(model, tiny_pairs, against={"other": model}, baselines=False, max_queries=20)
    with pytest.raises(PairsError, match="does not exist"):
        evaluate(folder, tmp_path / "no pairs")


def test_what_cannot_be_ranked_is_refused(tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 32)
    with pytest.raises(ConfigError, match="max_queries must be >= 2, got 1"):
        evaluate(model, tiny_pairs, max_queries=1)
    pq.write_table(pa.table({"query": ["a", "b"], "positive": ["yes", "yes"]}), tmp_path / "test.parquet")
    for split in ("train", "validation"):
        pq.write_table(pa.table({"query": [split], "positive": ["x"]}), tmp_path / f"{split}.parquet")
    with pytest.raises(PairsError, match="at least 2 distinct test positives, got 1 in 2 pairs"):
        evaluate(model, index_pairs(tmp_path))


@pytest.mark.parametrize("name", BASELINES)
def test_a_lexical_baseline_of_texts_without_words_knows_nothing(name: str) -> None:
    """scikit-learn refuses an empty vocabulary, which would cost the model its scores."""
    assert not BASELINES[name](["the", "+"], ["and the", "+ -", "?"]).any()


def test_a_model_embeds_with_its_own_prompts(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    """A model trained with prompts scores far lower without them."""
    model = load_embedder(str(tiny_neox), 64)
    model.prompts = {"query": "query: ", "document": "Compute the passage. ", "other": "!"}
    model.default_prompt_name = "other"
    model.save_pretrained(str(tmp_path / "model"))
    plain = load_embedder(str(tiny_neox), 64)
    wanted = embedding_system(plain)(
        [f"query: {text}" for text in tiny_text[:4]], [f"Compute the passage. {text}" for text in tiny_text[4:]]
    )
    found = embedding_system(load_model(tmp_path / "model"))(tiny_text[:4], tiny_text[4:])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - embedding_system(plain)(tiny_text[:4], tiny_text[4:])).max() > 1e-3


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"modules\.json is missing"):
        load_model(tmp_path)
    for text in ("[]broken", "{}", "[1]", "[" * 100_000, '[{"path": "", "type": 1}]'):
        (tmp_path / "modules.json").write_text(text)
        with pytest.raises(ModelError, match=r"cannot load|modules\.json: not valid JSON"):
            load_model(tmp_path)
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(ModelError):
        load_model(tmp_path)


BOOM = "import pathlib\npathlib.Path({!r}).touch()\n"


def test_code_and_pickles_of_a_folder_are_refused(tmp_path: Path, tiny_neox: Path) -> None:
    def saved(name: str) -> Path:
        folder = tmp_path / name
        model = load_embedder(str(tiny_neox), 32)
        dense = Dense(64, 8)
        SentenceTransformer(modules=[model[0], model[1], dense]).save_pretrained(str(folder))
        return folder

    def pickle_of(folder: Path) -> None:
        (weights := folder / "model.safetensors").unlink()
        torch.save({"weight": torch.zeros(1)}, weights.with_name("pytorch_model.bin"))

    good = saved("good")
    (good / "training_args.bin").touch()  # a trainer's, never read
    assert load_model(good).encode(["a text"]).shape == (1, 8)

    whole = saved("whole")
    pickle_of(whole)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is a pickle, .* save it again"):
        load_model(whole)
    inner = saved("inner")
    pickle_of(next(inner.glob("*_Dense")))
    with pytest.raises(ModelError, match=r"2_Dense/pytorch_model\.bin is a pickle"):
        load_model(inner)

    marker = tmp_path / "ran"
    foreign = saved("foreign")
    (foreign / "mine.py").write_text(BOOM.format(str(marker)) + "class Mine: pass\n")
    modules = json.loads((foreign / "modules.json").read_text())
    for kind in ("mine.Mine", "builtins.dict", "sentence_transformersx.Mine", None):
        modules[1]["type"] = kind
        (foreign / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(ModelError, match="which is not one of sentence-transformers"):
            load_model(foreign)
    modules[1] |= {"type": "sentence_transformers.models.Pooling", "path": "../good/1_Pooling"}
    (foreign / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="outside the folder"):
        load_model(foreign)

    remote = saved("remote")
    (remote / "mine.py").write_text(BOOM.format(str(marker)))
    config = json.loads((remote / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (remote / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="cannot load"):
        load_model(remote)
    assert not marker.exists(), "none of it was run"


def test_a_router_is_loaded_and_its_classes_are_checked(tmp_path: Path, tiny_neox: Path, tiny_text: list[str]) -> None:
    model = load_embedder(str(tiny_neox), 32)
    router = Router.for_query_document([model[0], model[1]], [model[0], model[1], Dense(64, 64)])
    SentenceTransformer(modules=[router]).save_pretrained(str(tmp_path / "router"))
    found = embedding_system(load_model(tmp_path / "router"))(tiny_text, tiny_text)
    assert not np.allclose(found, found.T), "the two sides are embedded by different modules"
    file = tmp_path / "router" / "router_config.json"
    config = json.loads(file.read_text())
    config["types"] = dict.fromkeys(config["types"], "mine.Mine")
    file.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="names the class mine"):
        load_model(tmp_path / "router")


def test_a_static_model_is_scored(tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs) -> None:
    tokenizer = load_tokenizer(str(tiny_neox)).backend_tokenizer
    weights = np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save_pretrained(str(tmp_path))
    assert evaluate(tmp_path, tiny_pairs, baselines=False).scores["model"].ndcg_at_10 > 0.1
