"""How do policies compare that spend one budget? The rows of `benchmarks.spend` as means, quantiles and tables.

The error of a mean is its standard error over worlds. A difference to `spend` is taken in each world, so that what
makes a world hard for all cancels; its error is that of the mean difference.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
CAUSES = ("by_search", "by_choice", "by_rate")
OURS = "spend"
NO_RIVALS = ("oracle", "spend")
"""What begins so is none: it knows the truth, or is `spend` itself at another share."""
GROUPS = ("all", "wide", "narrow", "form", "neither", "flawed", "retrievers")


def groups_of(kind: str) -> tuple[str, ...]:
    """The groups that a kind of world is counted in."""
    if kind.startswith("replay:"):
        return (kind,)
    before, _, plain = kind.rpartition(":")
    if before == "narrow":
        return ("all", "narrow")
    if before:
        return ("all", "wide", before)
    truth = "flawed" if plain.count("-") > 2 else "neither" if plain.startswith("neither") else "form"
    return ("all", "wide", truth)


def summary_of(rows: Sequence[Row], policies: Sequence[str]) -> dict[str, Any]:
    """The numbers of every budget and group, over the worlds in which all policies have a row."""
    worlds: dict[tuple[str, int, float], dict[str, Row]] = {}
    for row in rows:
        worlds.setdefault((row["kind"], row["seed"], row["times"]), {})[row["policy"]] = row
    whole = {key: found for key, found in worlds.items() if set(policies) <= set(found)}
    summary: dict[str, Any] = {}
    for times in sorted({key[2] for key in whole}):
        for group in dict.fromkeys((*GROUPS, *(name for key in whole for name in groups_of(key[0])))):
            inside = [found for key, found in whole.items() if key[2] == times and group in groups_of(key[0])]
            if inside:
                label = f"{group} {times:g}"
                summary[label] = {"worlds": len(inside), "policies": compared(inside, policies)}
    return {"worlds": len({key[:2] for key in whole}), "tables": summary}


def compared(worlds: Sequence[dict[str, Row]], policies: Sequence[str]) -> dict[str, Row]:
    """The numbers of every policy in these worlds; regrets, shares and their errors in per cent."""
    regrets = {name: 100 * np.array([world[name]["regret"] for world in worlds]) for name in policies}
    rivals = [name for name in policies if not name.startswith(NO_RIVALS)]
    best = min((float(regrets[name].mean()) for name in rivals), default=None)
    return {
        name: numbers(regrets[name], [world[name] for world in worlds])
        | against(regrets[name], regrets.get(OURS))
        | {"times_best_other": None if best is None or name in rivals else _rounded(regrets[name].mean() / best)}
        for name in policies
    }


def numbers(regrets: np.ndarray, rows: Sequence[Row]) -> Row:
    """What is said of one policy by itself."""
    held = [row["held"] for row in rows if row["held"] is not None]
    return {
        "mean": _rounded(regrets.mean()),
        "error": _error(regrets),
        "median": _rounded(np.median(regrets)),
        "95": _rounded(np.quantile(regrets, 0.95)),
        **{cause: _rounded(100 * np.mean([row[cause] for row in rows])) for cause in CAUSES},
        "searched": _rounded(100 * np.mean([row["searched"] for row in rows])),
        "runs": _rounded(np.mean([row["runs"] for row in rows])),
        "held": _rounded(100 * np.mean(held)) if held else None,
        "diverged": sum(row["diverged"] for row in rows),
        "seconds": _rounded(np.mean([row["seconds"] for row in rows])),
    }


def against(regrets: np.ndarray, ours: np.ndarray | None) -> Row:
    """The difference to `spend`, world by world: above 0 where spend is better."""
    if ours is None:
        return {"difference": None, "difference_error": None}
    return {"difference": _rounded((regrets - ours).mean()), "difference_error": _error(regrets - ours)}


def _error(values: np.ndarray) -> float | None:
    return _rounded(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 3)


def tables(summary: dict[str, Any]) -> str:
    """The numbers as Markdown, one table a budget and group."""
    lines = []
    for label, table in summary["tables"].items():
        lines += [
            f"### {label}: {table['worlds']} worlds",
            "",
            "| policy | mean | median | 95 % | search / choice / rate | minus spend | searched | runs | held |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for name, one in sorted(table["policies"].items(), key=lambda item: item[1]["mean"]):
            causes = " / ".join(f"{one[cause]:.1f}" for cause in CAUSES)
            difference = (
                "-" if one["difference"] is None or name == OURS else _pm(one, "difference", "difference_error")
            )
            held = "-" if one["held"] is None else f"{one['held']:.0f} %"
            lines.append(
                f"| {name} | {_pm(one, 'mean', 'error')} | {one['median']:.1f} | {one['95']:.1f} | {causes} | "
                f"{difference} | {one['searched']:.0f} % | {one['runs']:.0f} | {held} |"
            )
        ours = table["policies"].get(OURS)
        if ours and ours["times_best_other"] is not None:
            lines += ["", f"spend is at {ours['times_best_other']:.2f} of the best other policy's mean."]
        lines.append("")
    return "\n".join(lines)


def _pm(one: Row, value: str, error: str) -> str:
    return f"{one[value]:.1f}" + ("" if one[error] is None else f" ± {one[error]:.1f}")
