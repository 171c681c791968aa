"""What becomes of a start that no run of the budget beats."""

from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from embudget.errors import RunError
from embudget.pairs import Pairs
from embudget.recipe import Recipe
from embudget.spending import run
from embudget.spending.kept_start import as_it_is, is_start
from embudget.spending.listener import SpendListener
from embudget.spending.policy import decide
from embudget.spending.round_runs import RoundsHere
from embudget.spending.run import SpentBudget
from tests.spending.spendings import spending, study_of, weights
from tests.training.trouble import out_of_memory


@pytest.fixture(scope="module")
def trained(tiny_neox: Path, tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SpentBudget]:
    """The tiny model trained by the budget until it is a retriever."""
    out = tmp_path_factory.mktemp("trained") / "out"
    return out, spending(study_of(tiny_neox, tiny_pairs), out)


def test_a_start_that_no_run_beats_is_the_model(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, trained: tuple[Path, SpentBudget],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Begun from a trained model with rates that are far too high, all runs end worse than their start."""
    better, first = trained
    assert first.untrained is None and not is_start(better / "model")
    start = better / "model"
    study = study_of(
        start,
        tiny_pairs,
        members=[str(start)],
        methods=["full", "lora:4"],
        learning_rates={"full": [0.3], "lora:4": [3.0]},
    )
    heard: list[str] = []

    class Heard(SpendListener):
        def start_measured(self, model: str, loss: float) -> None:
            heard.append("measured")

        def untrained(self, start: object) -> None:
            heard.append("untrained")

    out = tmp_path / "out"
    killed = pytest.MonkeyPatch()
    killed.setattr(run, "put_start_in_front", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        spending(study, out, listener=Heard())
    killed.undo()
    assert heard == ["measured"], "before the first decision, and once"
    heard.clear()
    spent = spending(study, out, listener=Heard(), max_queries=30)
    assert spent.untrained is not None and heard == ["untrained"]
    assert spent.record.loss is not None and spent.record.base_loss is not None
    assert spent.untrained.loss == spent.record.base_loss < spent.record.loss
    assert weights(out) == weights(better) and is_start(out / "model")
    assert {arm.base_loss for arm in spent.allocation.arms} == {spent.record.base_loss}, "the policy knows it"
    assert "as it is, not trained" in as_it_is(spent.untrained)
    candidate = SentenceTransformer(str(out / "candidates" / spent.record.id))
    assert candidate.encode(["a text"]).shape == SentenceTransformer(str(out / "model")).encode(["a text"]).shape
    assert spent.evaluation is not None and spent.evaluation.run is None
    scores = spent.evaluation.scores
    assert list(scores)[:2] == ["model", "trained instead"] and scores["model"] != scores["trained instead"]
    assert Recipe.load(out / "recipe.yaml").untrained == spent.untrained, "`embudget train` refuses it"
    monkeypatch.setattr(RoundsHere, "search", None)  # nothing is trained again
    again = spending(study, out, max_queries=30)
    assert (again.untrained, again.record, again.evaluation) == (spent.untrained, spent.record, spent.evaluation)
    assert weights(out) == weights(better)


def test_a_budget_that_ends_without_a_model_names_the_retriever_to_use(
    tiny_pairs: Pairs, tmp_path: Path, trained: tuple[Path, SpentBudget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All runs fail, as where memory does not suffice: what is spent is spent, and a start is there all the same."""
    start = trained[0] / "model"
    study = study_of(start, tiny_pairs, members=[str(start)])
    heard: list[float] = []

    class Heard(SpendListener):
        def start_measured(self, model: str, loss: float) -> None:
            heard.append(loss)

    out_of_memory(monkeypatch, lambda *_: True)
    with pytest.raises(RunError, match="the budget ends without a model: ") as caught:
        spending(study, tmp_path / "out", decide=decide, listener=Heard())
    said = f"{start} as it is has a held-out loss of {heard[0]:.3f} nats: write it by `embudget export {start}"
    assert said in str(caught.value)
