"""Two runs of some 120 steps, 4 seconds on an idle core, to be disturbed, and the records that must come of them."""

import time
from collections.abc import Callable

import pytest

from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.study import Study, sweep
from tests.study.studies import tiny_study


@pytest.fixture(scope="session")
def study(tiny_pairs: Pairs) -> Study:
    """Two runs of one model."""
    return tiny_study("micro-200k", tiny_pairs, members=["micro-200k"], seeds=[0, 1], budgets=[6e10], max_epochs=40)


@pytest.fixture(scope="session")
def whole(study: Study, tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    """What must come out. Two workers have a thread each, as those elsewhere: sums depend on it on some processors."""
    return sweep(study, tmp_path_factory.mktemp("whole") / "s.db", workers=2)


def until(true: Callable[[], bool], seconds: float = 300.0) -> None:
    """Wait for what a cluster does on its own time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def measured(records: list[RunRecord]) -> dict[str, tuple[object, ...]]:
    """All that must be the same, by the run."""
    return {record.id: (record.status, record.loss, record.tokens, record.loss_curve) for record in records}
