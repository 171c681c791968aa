"""The quickstart: on tiny models, interrupted in every stage; and its smoke version on the real models and pairs."""

import json
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from embudget.pairs import Pairs
from embudget.spending import quickstart as module
from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase
from embudget.spending.ledger import Ledger
from embudget.spending.listener import SpendListener
from embudget.spending.prepare import Caps
from embudget.spending.quickstart import Size, quickstart
from embudget.study import Store
from tests.command_line import Run

LEFT = {
    "decisions.jsonl", "evaluation.json", "ledger.json", "members.yaml", "model", "pairs", "recipe.yaml", "runs.db",
    "start.json",
}  # fmt: skip


class Stopper(SpendListener):
    """Remembers what it was told in its order; presses Ctrl-C at one of these if told to."""

    def __init__(self, at: str | None = None) -> None:
        self.at, self.told = at, []  # type: ignore[var-annotated]

    def _tell(self, what: str) -> None:
        if what == self.at:
            raise KeyboardInterrupt
        self.told.append(what)

    def planned(self, allocation: Allocation, measured: object) -> None:
        self._tell("planned")

    def decided(self, decision: Decision, changed: str) -> None:
        self._tell("decided")

    def measured(self, measurement: Measurement, record: object) -> None:
        self._tell("measured" if measurement.purchase.purpose == "search" else "final")

    def training(self, purchase: Purchase, number: int, of: int) -> None:
        self._tell("training")

    def evaluated(self, evaluation: object) -> None:
        self._tell("evaluated")

    def done(self, ledger: Ledger) -> None:
        self._tell("done")


@pytest.fixture
def tiny_size(tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny_pairs.folder.parent / "made.jsonl"
    study = {"methods": ["full", "lora:4"], "batch_size": 8, "max_length": 32, "min_steps": 1} | dict.fromkeys(
        ("eval_pairs", "eval_candidates"), 32
    )
    members = tuple(f"{tiny_neox}:{depth}" for depth in (1, 2, 3))
    size = Size((f"files:{made}",), None, 6e9, members, study, Caps(max_runs=3), 20)
    monkeypatch.setattr(module, "FULL", size)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_size")
def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Stopped at everything that it tells, it comes to the choice and the model of one that was never stopped."""
    whole = quickstart(tmp_path / "whole")
    out = tmp_path / "q"
    for at in ("planned", "decided", "measured", "training", "final", "done", "evaluated"):
        with pytest.raises(KeyboardInterrupt):
            quickstart(out, listener=Stopper(at))
    again = quickstart(out)
    assert {path.name for path in out.iterdir()} - {"laws.json"} == LEFT
    assert again.record.config == whole.record.config and again.record.loss == whole.record.loss
    assert again.ledger == Ledger.load(out / "ledger.json")
    assert again.ledger.model_dump(exclude={"search", "final"}) == whole.ledger.model_dump(exclude={"search", "final"})
    with Store(out / "runs.db", create=False) as store:
        records = store.records()
    assert len(records) == again.ledger.search.runs + 1, "no run was done twice"
    assert again.model.encode(["a text"]).shape == (1, 64)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_size")
def test_it_tells_everything_in_its_order(tmp_path: Path) -> None:
    log = Stopper()
    spending = quickstart(tmp_path / "q", listener=log)
    rounds = len(spending.decisions)
    runs = spending.ledger.search.runs
    assert log.told.count("decided") == rounds and log.told.count("measured") == runs
    assert log.told[0] == "planned" and log.told[1] == "decided"
    assert log.told[-4:] == ["training", "final", "done", "evaluated"]


@pytest.mark.slow
def test_the_smoke_version_on_the_real_models(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    out = tmp_path / "q"
    first = run("quickstart", "--smoke", "--out", out)
    assert first.code == 0, first.err
    for said in ("round 1, 0 % of the budget spent", "final run: ", "ledger: ", "BM25", "TF-IDF"):
        assert said in first.out, said
    kept = "model      minilm-l6:6 as it is, not trained" in first.out
    assert ("trained instead" if kept else "untrained base") in first.out, "start and trained model, side by side"
    assert f"SentenceTransformer({str(out / 'model')!r})" in first.out
    model = SentenceTransformer(str(out / "model"))
    assert model.encode(["a query", "a document"]).shape in {(2, 384), (2, 576)}
    ledger = json.loads((out / "ledger.json").read_text())
    assert kept == (ledger["untrained"] is not None)
    assert ledger["search"]["cost"] + ledger["final"]["cost"] <= ledger["budget"] == module.SMOKE.budget
    written = (out / "model" / "model.safetensors").stat().st_mtime_ns
    with Store(out / "runs.db") as store:
        records = store.records()

    second = run("quickstart", "--smoke", "--out", out)
    assert second.code == 0, second.err
    with Store(out / "runs.db") as store:
        assert store.records() == records, "no run is done again"
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == written
