"""The tables of the page on the held-out loss: how large its errors are, and how two disjoint held-out sets agree.

Both are made from results/yardstick/yardstick.json, which `benchmarks/yardstick.py` writes. What was not measured yet
has no row.
"""

from typing import Any

PARABOLA = {"mean": 12, "most": 4}
"""By a parabola, a rate that is off by up to half a step costs at most 1/4, and on average 1/12, of a whole step."""


def sources_rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: a source of error each, a study each column."""
    published, measured = found["published"], found["measured"]
    rows = [
        ["seeds: standard deviation of one run", *map(_seeds, published.values()), "seeds (training)"],
        ["rates: the next one tried is worse by", *map(_next_rate, published.values()), ""],
        ["rates: half a step off costs", *map(_half_step, published.values()), "rates (training)"],
    ]
    if measured:
        each = [measured.get(name) for name in published]
        rows += [
            ["groups: standard error of a loss", *map(_loss_error, each), "groups (evaluation)"],
            ["groups: standard error of a paired difference", *map(_paired_error, each), "groups (evaluation)"],
            ["seeds: the part that differs between groups", *map(_seeds_by_groups, each), "either"],
        ]
    return ["source", *published, "shrunk by more"], rows


def sets_rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: how two disjoint held-out sets rank the same choices, a study each row."""
    heads = ["study", "choices", "held out", "Kendall's tau", "of the better half", "differences inside 95 %"]
    rows = [
        [
            f"{name}, {one['budget']:.3g} FLOP",
            str(one["choices"]),
            " and ".join(f"{each['pairs']:,} pairs of {each['groups']} groups" for each in one["sets"]),
            _tau(one["rank"]),
            _tau(one["rank_of_the_better_half"]),
            f"{100 * one['paired']['inside_95_percent']:.0f} %",
        ]
        for name, one in found["measured"].items()
    ]
    return heads, rows


def _seeds(one: dict[str, Any]) -> str:
    percent = one["seeds"]["percent"]
    return f"{percent:.1f} %, {percent / 100 * one['mean_loss']:.3f} nats"


def _next_rate(one: dict[str, Any]) -> str:
    rates = one["rates"]
    return f"{rates['median_percent']:.1f} % ({rates['step']:g} times apart)"


def _half_step(one: dict[str, Any]) -> str:
    percent = one["rates"]["median_percent"]
    return f"{percent / PARABOLA['mean']:.1f} % on average, {percent / PARABOLA['most']:.1f} % at most"


def _loss_error(one: dict[str, Any] | None) -> str:
    return "" if one is None else f"{one['loss_error'][0]['median']:.3f} nats"


def _paired_error(one: dict[str, Any] | None) -> str:
    return "" if one is None else f"{one['paired']['error']['median']:.3f} nats"


def _seeds_by_groups(one: dict[str, Any] | None) -> str:
    if one is None or not one["seeds"][0]["settings"]:
        return ""
    seeds = one["seeds"][0]
    return f"{seeds['percent_by_groups']:.1f} of {seeds['percent']:.1f} %"


def _tau(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    low, high = found["kendall_interval"]
    return f"{found['kendall']:.2f} ({low:.2f} to {high:.2f})"
