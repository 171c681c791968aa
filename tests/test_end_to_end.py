"""The quickstart: on tiny models, interrupted in every stage; and its smoke version on the real model and pairs."""

import json
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from embudget import end_to_end
from embudget.end_to_end import Screen, Size, quickstart
from embudget.errors import ConfigError
from embudget.pairs import Pairs
from embudget.recipe import Recipe
from embudget.study import Store
from tests.command_line import Run

RESULTS = {
    "evaluation.json", "laws.json", "model", "pairs", "recipe.yaml", "report.html", "study.db", "study.yaml",
}  # fmt: skip


class Log(Screen):
    """Remembers the stages and what was said; presses Ctrl-C at the beginning of one stage if told to."""

    def __init__(self, interrupt: str | None = None) -> None:
        self.interrupt = interrupt
        self.stages: list[str] = []
        self.said: list[str] = []

    def stage(self, title: str, seconds: float | None) -> None:
        if title == self.interrupt:
            raise KeyboardInterrupt
        self.stages.append(title)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def tiny_size(tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    study = {
        "members": [f"{tiny_neox}:{depth}" for depth in (1, 2, 3)],
        "methods": ["full", "lora:4"],
        "budgets": [4e8, 1e9, 3e9],
        "pairs": "pairs",
        "batch_size": 8,
        "max_length": 32,
        "min_steps": 1,
        "eval_pairs": 32,
        "eval_candidates": 32,
    }
    made = tiny_pairs.folder.parent / "made.jsonl"
    size = Size(sources=(f"files:{made}",), pairs_limit=None, study=study, max_queries=20)
    monkeypatch.setattr(end_to_end, "FULL", size)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_size")
def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    out = tmp_path / "q"
    written: dict[str, int] = {}
    for stage in ("models and pairs", "sweep", "laws", "recipe", "evaluation", "report"):
        with pytest.raises(KeyboardInterrupt):
            quickstart(out, screen=Log(interrupt=stage))
        for name, when in written.items():
            assert (out / name).stat().st_mtime_ns == when, f"{name} was made again"
        for name in ("pairs/train.parquet", "model/model.safetensors"):
            if (out / name).exists():
                written[name] = (out / name).stat().st_mtime_ns
    with Store(out / "study.db", create=False) as store:
        before = store.records()
    (out / "evaluation.json").write_text('{"cut short')
    log = Log()
    assert quickstart(out, screen=log) == out
    assert "scores" in json.loads((out / "evaluation.json").read_text()), "damaged scores are made again"
    with Store(out / "study.db", create=False) as store:
        assert store.records() == before, "no run was done again"
    assert {path.name for path in out.iterdir()} == RESULTS
    assert log.stages == ["models and pairs", "sweep", "laws", "recipe", "evaluation", "report"]
    assert "predicted" in "\n".join(log.said)
    largest = max(record.config.train_flops for record in before)
    assert Recipe.load(out / "recipe.yaml").train_flops == 4 * largest


@pytest.mark.usefixtures("tiny_size")
def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the folder"):
        quickstart(tmp_path / "file" / "q")


@pytest.mark.slow
def test_the_smoke_version_on_the_real_model(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    out = tmp_path / "q"
    first = run("quickstart", "--smoke", "--out", out)
    assert first.code == 0, first.err
    assert "[6/6] report" in first.err
    assert "untrained base" in first.out
    assert f"SentenceTransformer({str(out / 'model')!r})" in first.out
    model = SentenceTransformer(str(out / "model"))
    assert model.encode(["a query", "a document"]).shape == (2, 576)
    record = json.loads((out / "model" / "embudget.json").read_text())
    assert record["config"]["train_flops"] == 3.2e11
    written = (out / "model" / "model.safetensors").stat().st_mtime_ns

    second = run("quickstart", "--smoke", "--out", out)
    assert second.code == 0, second.err
    assert "21 have records, 0 to do" in second.err
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == written
