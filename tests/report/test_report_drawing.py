"""Ticks, labels and numbers of the figures."""

import numpy as np
import pytest

from embudget.choices import methods_in_order
from embudget.duration import duration
from embudget.palette import strokes
from embudget.plural import plural
from embudget.report.drawing import axis, spread_apart, ticks
from embudget.report.formats import number
from embudget.report.look import method_looks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.25e11, "1.25e11"),
        (2e12, "2e12"),
        (1.5e-5, "1.5e-5"),
        (0.0003, "0.0003"),
        (41371, "41,371"),
        (999.7, "1,000"),
        (12.5, "12.5"),
        (0, "0"),
    ],
)
def test_numbers_are_written_as_a_person_would(value: float, text: str) -> None:
    assert number(value) == text


def test_durations_and_plurals() -> None:
    assert [duration(seconds) for seconds in (45, 720, 12240)] == ["45 s", "12 min", "3.4 h"]
    assert (plural(1, "run"), plural(1250, "run")) == ("1 run", "1,250 runs")


def test_ranks_are_ordered_as_numbers() -> None:
    assert methods_in_order(["lora:32", "full", "lora:8", "freeze:0.5"]) == ["freeze:0.5", "full", "lora:8", "lora:32"]


@pytest.mark.parametrize("ratio", [1.01, 1.3, 2.9, 3.1, 8, 64, 1e3, 1e5, 1e9])
@pytest.mark.parametrize("low", [1.7, 2.6, 3.54e6, 9.9e11])
def test_an_axis_has_a_few_ticks_inside_its_range(low: float, ratio: float) -> None:
    at = ticks(low, low * ratio)
    assert 2 <= len(at) <= 6
    assert at == sorted(set(at))
    assert low * (1 - 1e-9) <= at[0] and at[-1] <= low * ratio * (1 + 1e-9)


def test_ticks_of_budgets_are_the_round_ones() -> None:
    assert [number(value) for value in ticks(1e11, 1e13)] == ["1e11", "3e11", "1e12", "3e12", "1e13"]


def test_a_log_axis_holds_its_values_even_if_there_is_only_one() -> None:
    low, high = axis("x", [1e12], log=True)["range"]
    assert low < 12 < high


def test_a_linear_axis_may_begin_at_zero() -> None:
    found = axis("x", [0.2, 4.0], log=False)
    assert found["range"][0] == 0 and found["range"][1] > 4
    assert found["ticktext"] == ["0", "1", "2", "3", "4"]


def test_labels_that_collide_are_moved_apart_and_others_stay() -> None:
    moved = spread_apart([0.0, 5.0, 5.1, 9.0], gap=1.0)
    assert moved == pytest.approx([0.0, 4.55, 5.55, 9.0])
    assert spread_apart([], gap=1.0) == []


def test_labels_never_overlap() -> None:
    values = sorted(np.random.default_rng(0).uniform(0, 3, 12))
    assert np.diff(spread_apart(values, gap=0.5)).min() >= 0.5 - 1e-9


def test_every_method_of_a_large_study_is_drawn_differently() -> None:
    methods = [f"lora:{2**power}" for power in range(3, 12)] + ["full", "freeze:0.5", "bias"]
    looks = method_looks(methods)
    for theme in ("color", "dark"):
        assert len({(look[theme], look["symbol"]) for look in looks}) == len(methods)


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_method_is_seen_on_the_dark_page() -> None:
    methods = [f"lora:{2**power}" for power in range(12)] + ["full", "freeze:0.25", "freeze:0.75", "bias"]
    paper = luminance("#14171c")
    contrasts = {look["name"]: (luminance(look["dark"]) + 0.05) / (paper + 0.05) for look in method_looks(methods)}
    assert min(contrasts.values()) > 4.5, contrasts


def test_the_colours_are_those_of_print() -> None:
    methods = ["lora:8", "lora:128", "full"]
    drawn = strokes(methods)
    assert [(one["name"], one["color"], one["symbol"]) for one in method_looks(methods)] == [
        (name, drawn[name].color, drawn[name].symbol) for name in ("full", "lora:8", "lora:128")
    ]
