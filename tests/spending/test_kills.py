"""Spendings that are killed in each phase and started again: the same decisions come out, and the same model."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.spending import final, rounds, run, search
from embudget.spending.listener import SpendListener
from embudget.spending.policy import decide
from embudget.study import Store, Study
from tests.spending.spendings import Steps, die, ended, lines, spending, study_of, weights

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


@pytest.fixture(scope="module")
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"])


@pytest.fixture(scope="module")
def calm(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spending that nobody disturbed."""
    out = tmp_path_factory.mktemp("calm") / "out"
    spending(study, out)
    return out


def before(module: Any, name: str, number: int = 1) -> Callable[[], None]:  # noqa: ANN401
    """Die in place of the n-th call of a function or method."""

    def arm() -> None:
        original, left = getattr(module, name), number

        def dying(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            nonlocal left
            left -= 1
            if left == 0:
                die()
            return original(*arguments, **named)

        setattr(module, name, dying)

    return arm


def after(module: Any, name: str, number: int = 1) -> Callable[[], None]:  # noqa: ANN401
    """Die behind the n-th call of a function or method."""

    def arm() -> None:
        original, left = getattr(module, name), number

        def dying(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            nonlocal left
            result = original(*arguments, **named)
            left -= 1
            if left == 0:
                die()
            return result

        setattr(module, name, dying)

    return arm


def half_a_line() -> None:
    """Die while a line of the decisions is written."""

    def torn(self: rounds.DecisionLog, one: rounds.Round) -> None:
        with self._file.open("ab") as file:
            file.write(one.model_dump_json().encode()[:100])
        die()

    rounds.DecisionLog.add = torn  # type: ignore[method-assign]


def export_module() -> Any:  # noqa: ANN401
    from embudget.exports import sentence_transformers

    return sentence_transformers


POINTS: dict[str, Callable[[], Callable[[], None]]] = {
    "half a line": lambda: half_a_line,
    "a round is written": lambda: after(rounds.DecisionLog, "add", 2),
    "a record of the search is there": lambda: after(Store, "add", 2),
    "the search is over": lambda: before(run, "train_final"),
    "while exporting": lambda: before(export_module(), "model_card"),
    "the model is there, its record not": lambda: before(final, "store_record"),
    "all is stored": lambda: before(search.Search, "tidy"),
    "laws": lambda: before(run, "fit"),
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point(study: Study, calm: Path, tmp_path: Path, point: str) -> None:
    out = tmp_path / "out"
    arm = POINTS[point]()

    def killed() -> None:
        arm()
        spending(study, out)

    assert ended(killed) == -signal.SIGKILL
    assert ended(lambda: spending(study, out)) == 0
    assert (lines(out), weights(out)) == (lines(calm), weights(calm))
    assert not (out / "runs.db.checkpoints").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(("step", "in_final"), [(3, False), (8, False), (6, True)])
def test_killed_at_a_step(study: Study, calm: Path, tmp_path: Path, number: int, step: int, in_final: bool) -> None:
    out = tmp_path / "out"
    code = ended(lambda: spending(study, out, listener=Steps(step, in_final, lambda: die(number))))
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    done: list[str] = []

    class Counting(SpendListener):
        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            done.append(config.id)

    spending(study, out, listener=Counting())
    assert (lines(out), weights(out)) == (lines(calm), weights(calm))
    if in_final:  # the search is not done again, nor the steps before the kill
        assert len(set(done)) == 1


@pytest.mark.slow
def test_two_workers_come_to_the_same_and_replace_one_that_is_killed(study: Study, calm: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lost: list[str] = []

    class Killing(SpendListener):
        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            children = {child.pid for child in multiprocessing.active_children()}
            if not lost and share > 0.5:
                workers = [child for child in psutil.Process().children() if child.pid in children]
                os.kill(workers[0].pid, signal.SIGKILL)
                lost.append("killed")

        def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
            lost.append(reason)

    spending(study, out, workers=2, listener=Killing())
    assert lost == ["killed", "its process ended with signal 9"]
    assert lines(out) == lines(calm)
    assert weights(out) == weights(calm)


TWO_WORKERS: dict[str, Any] = {"decide": decide, "workers": 2, "together": 2}
"""As `embudget spend --workers 2` goes about it: the policy buys two runs at a time."""


@pytest.fixture(scope="module")
def calm_together(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("together") / "out"
    spending(study, out, **TWO_WORKERS)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("point", [*POINTS, "in the search", "in the final run"])
def test_two_workers_of_the_real_policy_that_are_killed_come_to_the_same_model(
    study: Study, calm_together: Path, tmp_path: Path, point: str
) -> None:
    out = tmp_path / "out"
    listener = Steps(4, point == "in the final run", die) if point not in POINTS else SpendListener()

    def killed() -> None:
        if point in POINTS:
            POINTS[point]()()
        spending(study, out, listener=listener, **TWO_WORKERS)

    assert ended(killed) == -signal.SIGKILL
    assert ended(lambda: spending(study, out, **TWO_WORKERS)) == 0
    assert (lines(out), weights(out)) == (lines(calm_together), weights(calm_together))
    assert not (out / "runs.db.checkpoints").exists()
