"""Budgets of seconds, really spent on tiny models, and processes that are killed while they spend one."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embudget.pairs import Pairs, load_pairs
from embudget.spending.arms import allocation_of
from embudget.spending.listener import SpendListener
from embudget.spending.run import SpentBudget, spend_budget
from embudget.study import Study
from tests.spending.halving import halving
from tests.study.studies import tiny_study

BUDGET = 5e9
"""FLOP: six runs of the search and a final one, some 10 to 40 steps each."""


def study_of(model: Path, pairs: Pairs, **fields: object) -> Study:
    """Two members and two methods."""
    values = {"members": [f"{model}:1", f"{model}:2"], "methods": ["full", "lora:4"]}
    return tiny_study(model, pairs, **(values | fields))


def spending(study: Study, out: Path, budget: float = BUDGET, **options: Any) -> SpentBudget:  # noqa: ANN401
    """Spend a budget into a folder, with a checkpoint after each step unless the options say otherwise.

    With workers only those train several runs: a policy that also decides for so many is given by ``together``.
    """
    allocation = allocation_of(study, load_pairs(study.pairs), budget, workers=options.pop("together", 1))
    values: dict[str, Any] = {
        "store": out / "runs.db",
        "decide": halving,
        "max_queries": None,
        "checkpoint_seconds": 0.0,
    } | options
    return spend_budget(allocation, study, out=values.pop("at", out), **values)


def weights(out: Path) -> bytes:
    """The final model's."""
    return (out / "model" / "model.safetensors").read_bytes()


def lines(out: Path) -> list[str]:
    return (out / "decisions.jsonl").read_text().splitlines()


class Steps(SpendListener):
    """Calls something at the n-th step of a kind of run: of the search, or a final one."""

    def __init__(self, number: int, final: bool, call: Callable[[], None]) -> None:
        self.left, self.wanted, self.call, self.final = number, final, call, False

    def training(self, *_: object) -> None:
        """The final run begins."""
        self.final = True

    def progress(self, *_: object) -> None:
        """A step was done."""
        if self.final == self.wanted:
            self.left -= 1
            if self.left == 0:
                self.call()


def ended(work: Callable[[], object]) -> int:
    """Do something in a forked process, whose start takes no seconds; its exit code, below 0 for a signal."""
    child = os.fork()
    if not child:
        code = 1
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell has it ignored
        try:
            work()
            code = 0
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die(number: int = signal.SIGKILL) -> None:
    """End this process by a signal."""
    os.kill(os.getpid(), number)
