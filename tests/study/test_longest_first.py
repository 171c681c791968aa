"""Handing out tasks longest first: what a plan for devices that are not here counts on."""

import random

import pytest

from embudget.study.longest_first import most_at_once, spans_of


@pytest.mark.parametrize("devices", [1, 2, 7, 64])
def test_no_device_has_two_tasks_at_a_time_and_the_bound_holds(devices: int) -> None:
    rng = random.Random(devices)
    seconds = [rng.expovariate(1.0) for _ in range(200)]
    spans = spans_of(seconds, devices)
    assert [span.end - span.start for span in spans] == pytest.approx(seconds)
    assert most_at_once(spans, [1.0] * 200) == devices, "all devices work, and no more than there are"
    end, best = max(span.end for span in spans), max(sum(seconds) / devices, max(seconds))
    assert best <= end <= (4 / 3 - 1 / (3 * devices)) * best * 1.001 or end <= best + max(seconds)


def test_a_long_task_is_begun_first_and_decides_the_end() -> None:
    spans = spans_of([1.0] * 6 + [5.0], devices=3)
    assert spans[-1] == (0.0, 5.0)
    assert max(span.end for span in spans) == 5.0


def test_what_one_task_lets_go_of_is_free_for_the_next() -> None:
    assert most_at_once(spans_of([2.0, 2.0, 2.0], 1), [5.0, 7.0, 6.0]) == 7.0
    assert most_at_once(spans_of([2.0, 2.0, 2.0], 3), [5.0, 7.0, 6.0]) == 18.0


def test_more_devices_than_tasks_are_no_trouble() -> None:
    assert spans_of([1.0, 2.0], 1000) == [(0.0, 1.0), (0.0, 2.0)]
    assert spans_of([], 3) == []
