"""The tables of the ablations: what each change of a default does to the held-out loss.

Both are made from a study's ablations.json, which `studies/publish/ablations.py` writes.
"""

from typing import Any

from studies.publish.cells import flops


def ablation_rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: changes down, budgets across; differences from the base in nats, bold where outside the noise."""
    rows = [
        [f"*{base['change']}: loss*", rates_of(base), *(f"{loss:.3f}" for loss in base["losses"])]
        for base in found["bases"]
    ]
    for row in found["changes"]:
        differences = (
            differing(*pair) if row["learned"] else "learns nothing"
            for pair in zip(row["differences"], found["outside_the_noise"], strict=True)
        )
        rows.append([f"{row['change']} (against {row['base']})", rates_of(row), *differences])
    for name, values in [
        ("standard error", found["standard_error"]), ("outside the noise from", found["outside_the_noise"])
    ]:  # fmt: skip
        rows.append([f"*{name}*", "", *(f"{value:.3f}" for value in values)])
    return ["change", "rates", *(flops(budget) for budget in found["budgets"]), "mean of both"], rows


def other_rate_rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: changes down; across, differences in nats, with the rate chosen on seeds that are not compared.

    The last columns count the runs whose loss is below that of the base.
    """
    budgets, count = [flops(budget) for budget in found["budgets"]], len(found["budgets"])
    ways = {"at_first_rates": "rates of seed 0", "at_rates_of_other_seeds": "rates of the other seeds"}
    rows = [
        [f"{row['change']} (against {row['base']})", *(f"{one:+.3f}" for way in ways for one in row[way][:count]),
         *map(str, row["runs_below_the_base"])]
        for row in found["changes"] if row["learned"]
    ]  # fmt: skip
    heads = [f"{way}, {budget}" for way in [*ways.values(), "runs below the base"] for budget in budgets]
    return ["change", *heads], rows


def rates_of(row: dict[str, Any]) -> str:
    """The learning rate at each budget, with a star where it is the lowest or the highest of those tried."""
    return ", ".join(f"{one['rate']:g}{'*' if one['at_an_end'] else ''}" for one in row["rates"])


def differing(difference: float, outside: float) -> str:
    """A difference with its sign; bold where it exceeds ``outside``, the edge of the noise."""
    return f"**{difference:+.3f}**" if abs(difference) > outside else f"{difference:+.3f}"
