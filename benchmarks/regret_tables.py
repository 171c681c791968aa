"""What do the rows of the regret benchmark (`regret.py`) come to? Means, shares and tables."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from benchmarks.worlds import DISTANCES

Row = dict[str, float | int | str | bool | None]
PROCEDURES = ("recipe", "paper", "carry", "largest", "best full")
LIMIT = 0.05
"""Regret that no recipe should exceed at the nearest distance."""


def values(rows: Sequence[Row], column: str, **fixed: str | int) -> np.ndarray:
    """The numbers in a column, from the rows with the fixed values; rows without a number are left out."""
    chosen = [row[column] for row in rows if all(row[name] == value for name, value in fixed.items())]
    return np.array([value for value in chosen if value is not None], dtype=float)


def answered(rows: Sequence[Row]) -> list[Row]:
    """The rows where both our procedure and the paper's choose, so that all are compared in the same worlds."""
    return [row for row in rows if row["regret of recipe"] is not None and row["regret of paper"] is not None]


def refusals(rows: Sequence[Row]) -> list[str]:
    """The worlds and distances without a recipe, each with the reason."""
    return [f"{row['kind']} {row['seed']} at {row['times']} x: {row['refused']}" for row in rows if row["refused"]]


def regrets(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Distance -> procedure -> mean, 90 % quantile and maximum of the regret."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for times, name in product(DISTANCES, PROCEDURES):
        regret = values(answered(rows), f"regret of {name}", times=times)
        numbers = {"mean": regret.mean(), "p90": np.quantile(regret, 0.9), "max": regret.max()}
        table.setdefault(str(times), {})[name] = {key: round(float(value), 5) for key, value in numbers.items()}
    return table


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Distance -> mean regret of the recipe / of the paper's procedure."""
    means = {
        times: [values(answered(rows), f"regret of {name}", times=times).mean() for name in ("recipe", "paper")]
        for times in DISTANCES
    }
    return {str(times): round(float(ours / theirs), 3) for times, (ours, theirs) in means.items()}


def over(rows: Sequence[Row]) -> list[str]:
    """The worlds without a recipe at the nearest distance, or with more regret than the limit, the worst first."""
    near = [(row, row["regret of recipe"]) for row in rows if row["times"] == DISTANCES[0]]
    known = [(row, float("inf") if regret is None else float(regret)) for row, regret in near]
    return [
        f"{row['kind']} {row['seed']}: {regret:.3f}, {row['recipe'] or 'no recipe'} for {row['best']}"
        for row, regret in sorted(known, key=lambda one: -one[1])
        if regret > LIMIT
    ]


def coverages(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Kind of world, and `all` -> distance -> shares held, median half widths, mean regrets."""
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for kind, times in product([*dict.fromkeys(str(row["kind"]) for row in rows), "all"], DISTANCES):
        fixed: dict[str, str | int] = {"times": times} | ({} if kind == "all" else {"kind": kind})
        numbers = {
            "run": values(rows, "run_held", **fixed),
            "run_width": values(rows, "run_width", **fixed),
            "run_score": values(rows, "run_score", **fixed),
            "best": values(rows, "best_held", **fixed),
            "best_width": values(rows, "best_width", **fixed),
            "best_score": values(rows, "best_score", **fixed),
            "best_in_flat": values(rows, "best_in_flat", **fixed),
            "noise_ratio": values(rows, "noise_ratio", **fixed),
            "regret": values(answered(rows), "regret of recipe", **fixed),
            "rate_cost": values(rows, "rate_cost", **fixed),
            "of_carry": values(answered(rows), "regret of carry", **fixed),
            "of_paper": values(answered(rows), "regret of paper", **fixed),
        }
        table.setdefault(kind, {})[str(times)] = {
            name: round(float(np.median(v) if name.endswith(("width", "ratio")) else v.mean()), 4) if len(v) else None
            for name, v in numbers.items()
        } | _crossing_shares(rows, fixed)
    return table


def _crossing_shares(rows: Sequence[Row], fixed: dict[str, str | int]) -> dict[str, float | None]:
    """The claimed crossovers, the share of them whose interval holds the true one, and the open ones."""
    names = ("crossings", "crossings_held", "crossings_open")
    claims, held, opened = (int(values(rows, name, **fixed).sum()) for name in names)
    return {"crossings": claims, "crossing": round(held / claims, 4) if claims else None, "crossings_open": opened}


def tables(summary: dict[str, Any], worlds: int) -> str:
    """The summary as text for a person."""
    refused = summary["refused"]
    lines = [f"{worlds} worlds, {len(refused)} times without a recipe; regret in %", *refused, ""]
    lines.append(f"{'':<12}" + "".join(f"{f'at {t} x: mean':>14}{'p90':>8}{'max':>8}" for t in DISTANCES))
    for name in PROCEDURES:
        cells = [summary["regret"][str(times)][name] for times in DISTANCES]
        lines.append(
            f"{name:<12}"
            + "".join(f"{100 * c['mean']:>14.3f}{100 * c['p90']:>8.2f}{100 * c['max']:>8.2f}" for c in cells)
        )
    shares = ", ".join(f"{ratio:.2f} at {times} x" for times, ratio in summary["times_paper"].items())
    lines += [f"mean regret of the recipe / of the paper's procedure: {shares}", ""]
    lines += [f"over {100 * LIMIT:g} % at {DISTANCES[0]} x: {len(summary['over_limit'])}", *summary["over_limit"], ""]
    names = list(next(iter(summary["coverage"].values()))[str(DISTANCES[0])])
    for times in DISTANCES:
        lines.append(f"{f'at {times} x':<30}" + "".join(f"{name:>15}" for name in names))
        for kind, by_distance in summary["coverage"].items():
            cells = [by_distance[str(times)][name] for name in names]
            lines.append(f"{kind:<30}" + "".join(f"{'-' if c is None else f'{c:.4g}':>15}" for c in cells))
        lines.append("")
    return "\n".join(lines)
