"""The tables on the errors of a held-out loss leave out what was not measured, and say the rest with its unit."""

from typing import Any

from studies.publish.yardstick import sets_rows, sources_rows

PUBLISHED = {
    "a": {"mean_loss": 4.0, "seeds": {"percent": 1.0}, "rates": {"median_percent": 6.0, "step": 3.0}},
    "b": {"mean_loss": 2.0, "seeds": {"percent": 0.5}, "rates": {"median_percent": 2.4, "step": 2.0}},
}
MEASURED: dict[str, Any] = {
    "budget": 2e12,
    "choices": 20,
    "sets": [{"pairs": 1024, "groups": 150}, {"pairs": 1024, "groups": 149}],
    "rank": {"kendall": 0.912, "kendall_interval": [0.8, 0.98]},
    "rank_of_the_better_half": None,
    "loss_error": [{"median": 0.0412}, {"median": 0.05}],
    "paired": {"error": {"median": 0.0123}, "inside_95_percent": 0.947},
    "seeds": [{"settings": 3, "percent": 1.1, "percent_by_groups": 0.4}],
}


def test_before_anything_was_measured_there_are_seeds_and_rates_only() -> None:
    heads, rows = sources_rows({"published": PUBLISHED, "measured": {}})
    assert heads == ["source", "a", "b", "shrunk by more"]
    assert [row[1] for row in rows] == ["1.0 %, 0.040 nats", "6.0 % (3 times apart)", "0.5 % on average, 1.5 % at most"]
    assert sets_rows({"measured": {}})[1] == []


def test_what_was_measured_has_its_rows_and_a_study_that_was_not_an_empty_field() -> None:
    found = {"published": PUBLISHED, "measured": {"a": MEASURED}}
    _, rows = sources_rows(found)
    assert [row[1:3] for row in rows[3:]] == [["0.041 nats", ""], ["0.012 nats", ""], ["0.4 of 1.1 %", ""]]
    assert sets_rows(found)[1] == [
        ["a, 2e+12 FLOP", "20", "1,024 pairs of 150 groups and 1,024 pairs of 149 groups", "0.91 (0.80 to 0.98)", "",
         "95 %"]
    ]  # fmt: skip
