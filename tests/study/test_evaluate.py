"""A study that scores the model of each run on benchmarks."""

import json
import logging
import pickle
from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.evaluation import benchmark
from embudget.evaluation.of_run import RunScorer
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.study import Study, sweep
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.study.executing import executed
from tests.study.studies import tiny_study

pytest.importorskip("mteb", reason="the extra mteb is not installed")


@pytest.fixture
def rated(tmp_path: Path, tiny_text: list[str]) -> Path:
    rows = [
        {"sentence1": one, "sentence2": other, "score": (3 * row + 5 * column) % 7}
        for row, one in enumerate(tiny_text)
        for column, other in enumerate(tiny_text[:row])
    ]
    file = tmp_path / "rated.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def measured(record: RunRecord) -> dict[str, object]:
    return record.model_dump(exclude={"seconds", "provenance", "scores"})


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_runs_have_scores_and_are_trained_as_without_them(
    tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs, rated: Path, schedule: str
) -> None:
    """An evaluation between two branches of a trunk must not change what is trained after it."""
    fields: dict[str, object] = {"budgets": [6e8, 1.2e9], "schedule": schedule, "methods": ["lora:4"]}
    plain = sweep(tiny_study(tiny_neox, tiny_pairs, **fields), tmp_path / "plain.db")
    scored = sweep(tiny_study(tiny_neox, tiny_pairs, evaluate=[f"sts={rated}"], **fields), tmp_path / "scored.db")
    assert [measured(record) for record in scored] == [measured(record) for record in plain]
    assert [list(record.scores) for record in scored] == [["rated"], ["rated"]]
    model = train(scored[1].config, tiny_pairs)
    wanted = benchmark(model, [f"sts={rated}"], baselines=False, cache=tmp_path / "cache").systems["model"].scores
    assert scored[1].scores["rated"] == pytest.approx(wanted["rated"], abs=0.02)


@pytest.mark.slow
def test_workers_score_too(tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs, rated: Path) -> None:
    study = tiny_study(tiny_neox, tiny_pairs, evaluate=[f"sts={rated}"], methods=["full", "bias"])
    assert all(record.scores for record in sweep(study, tmp_path / "s.db", workers=2))


def test_a_run_survives_its_evaluation(
    tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs, rated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Texts that are all alike have no rank correlation; the run is kept, and it is said."""
    alike = tmp_path / "alike.csv"
    alike.write_text("sentence1,sentence2,score\n" + "".join(f"same,same,{score}\n" for score in range(4)))
    study = tiny_study(tiny_neox, tiny_pairs, evaluate=[f"sts={alike}", f"sts={rated}"])
    with caplog.at_level(logging.WARNING):
        (record,) = sweep(study, tmp_path / "s.db")
    assert record.status == "done"
    assert list(record.scores) == ["rated"]
    assert record.error is not None and record.error.startswith("not evaluated: alike: it gives no score")
    assert "is kept without a score: alike" in caplog.text
    assert "1 runs lack a score" in caplog.text


def test_a_run_survives_whatever_its_evaluation_raises(
    tiny_neox: Path, tiny_pairs: Pairs, rated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mteb and what it stands on raise errors of every kind; the training is paid for by then."""
    model, record = train(tiny_study(tiny_neox, tiny_pairs).configs(tiny_pairs)[0], tiny_pairs, with_record=True)

    def broken(*_: object, **__: object) -> None:
        raise KeyError("sentence_embedding")

    monkeypatch.setattr(model, "encode", broken)
    scored = RunScorer((f"sts={rated}",))(model, record)
    assert (scored.scores, scored.loss) == ({}, record.loss)
    assert scored.error is not None and "sentence_embedding" in scored.error


def test_the_data_of_tasks_are_read_once(tiny_neox: Path, tiny_pairs: Pairs, rated: Path) -> None:
    """Each worker gets what was read; data that change during a sweep would give runs scores that do not compare."""
    scorer = RunScorer((f"sts={rated}",))
    rated.unlink()
    configs = tuple(tiny_study(tiny_neox, tiny_pairs).configs(tiny_pairs))
    resources = Resources(score=pickle.loads(pickle.dumps(scorer)))
    (record,) = executed(configs, tiny_pairs.folder, resources)
    assert list(record.scores) == ["rated"]


def test_tasks_named_later_train_nothing_anew(
    tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs, rated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = sweep(tiny_study(tiny_neox, tiny_pairs), tmp_path / "s.db")
    with caplog.at_level(logging.WARNING):
        after = sweep(tiny_study(tiny_neox, tiny_pairs, evaluate=[f"sts={rated}"]), tmp_path / "s.db")
    assert after == before
    assert "a sweep with another store trains them anew" in caplog.text


def test_tasks_are_checked_before_anything_is_trained(tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        sweep(tiny_study(tiny_neox, tiny_pairs, evaluate=["sts=none.csv"]), tmp_path / "s.db")
    with pytest.raises(ConfigError, match="are not on this machine"):
        sweep(tiny_study(tiny_neox, tiny_pairs, evaluate=["mteb:BIOSSES"]), tmp_path / "s.db")
    with pytest.raises(ConfigError, match=r"evaluate.*did you mean classification=FILE\?"):
        tiny_study(tiny_neox, tiny_pairs, evaluate=["clasification=x"])
    with pytest.raises(ConfigError, match=r"also\.0 cannot name evaluate"):
        tiny_study(tiny_neox, tiny_pairs, also=[{"evaluate": ["paper"]}]).grids()


def test_paths_are_relative_to_the_studys_file(tmp_path: Path) -> None:
    text = "members: [smollm2-135m:1]\nmethods: [full]\nbudgets: [1e12]\npairs: pairs\nevaluate: [sts=a.csv, paper]\n"
    (tmp_path / "study.yaml").write_text(text)
    assert Study.from_yaml(tmp_path / "study.yaml").evaluate == (f"sts={tmp_path}/a.csv", "paper")


def test_a_path_with_a_comma_is_looked_for_beside_the_studys_file(tmp_path: Path) -> None:
    """From another folder the path would be split at its comma, and refused as a task that does not exist."""
    text = (
        "members: [smollm2-135m:1]\nmethods: [full]\nbudgets: [1e12]\npairs: pairs\nevaluate: ['sts=a,b.csv']\n"
        "also: [{methods: [bias]}]\n"
    )
    (tmp_path / "study.yaml").write_text(text)
    (tmp_path / "a,b.csv").touch()
    assert Study.from_yaml(tmp_path / "study.yaml").evaluate == (f"sts={tmp_path}/a,b.csv",)
