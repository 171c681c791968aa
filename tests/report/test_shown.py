"""Which runs a page lists, and what it says of those that it leaves out."""

import pytest

from embudget.report import shown
from embudget.report.shown import MOST_FAILED, counted
from tests.report.test_report import failed
from tests.study.test_schedule import config

MORE = 5
"""Failed runs beyond those that the page of a large study lists."""


def test_failed_runs_are_left_out_of_the_pages_of_large_studies_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = failed(config("micro-1m"))
    records = [
        one.model_copy(update={"config": one.config.model_copy(update={"seed": seed})})
        for seed in range(MOST_FAILED + MORE)
    ]
    small = counted(records)
    assert (len(small.listed), small.unlisted) == (len(records), 0), "a page must not call listed runs left out"
    monkeypatch.setattr(shown, "MOST_RUNS", 100)
    large = counted(records)
    assert (len(large.failed), large.unlisted) == (MOST_FAILED, MORE)
