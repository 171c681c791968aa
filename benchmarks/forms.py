"""What is each form of law worth, and each way of sharing? Forecasts with all of them, and without each.

    .venv/bin/python -m benchmarks.forms --tables ../shared/data/laws --out results/simulation/forms_tables.json
    .venv/bin/python -m benchmarks.forms --kinds neither flawed --out results/simulation/forms_worlds.json

Cells are left out of a fit and forecast, by the laws of all forms and by those of all but one. Forecasts go upwards and
downwards, since nobody says which way a law will be asked:

    worlds     simulated ones (`worlds.py`): of each kind of method the best choice by the laws, at 1/4, 4 and 16 times
               the measured budgets, against a run of it
    studies    our own, each cut below or above every budget that leaves two
    tables     published runs, cut by budget, by size, or by tokens, from above and from below

Rows are the share of nominal 90 % intervals of a run that hold it, the interval score (`regret.py`), the root mean
square error, both in per cent, and the mean regret of the choice among the cells of a budget. Groups count alike: the
score is compared by the geometric mean of its ratios to that of all forms.

A fit is the same for all variants that have its form and sharing, so that each is made once.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from benchmarks.published_cuts import Run, cuts_of
from benchmarks.regret import interval_score
from benchmarks.worlds import GROUPS, make_case
from embudget.errors import EmbudgetError
from embudget.files import save_text
from embudget.laws import FORMS, Laws, backtests, fit, weights
from embudget.laws.joint import Sharing
from embudget.laws.sharing import fit_jointly
from embudget.methods import kind_of, parse_method
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.suite import find_suite


class Row(NamedTuple):
    """What one variant came to in one case."""

    group: str
    variant: str
    inside: float
    score: float
    error: float
    regret: float | None


Variants = dict[str, tuple[list[str] | None, tuple[Sharing, ...]]]
Known = list[RunRecord] | RunTable


def variants() -> Variants:
    """All forms and sharings, and all but one; the forms that begin at a zero-shot loss have cases of their own."""
    forms, sharings = [name for name, form in FORMS.items() if name != "tied" and not form.by_member], get_args(Sharing)
    found: Variants = {"all": (None, sharings)}
    found |= {f"without {one}": ([name for name in forms if name != one], sharings) for one in forms}
    return found | {f"without {one}": (None, tuple(name for name in sharings if name != one)) for one in sharings}


def fitted(known: Known, draws: int) -> Iterator[tuple[str, Laws]]:
    """The laws of every variant."""
    made: dict[Any, Any] = {}

    def once(form: Any, points: Any, sharing: Any, asymptote: Any = None) -> Any:  # noqa: ANN401 - handed on
        values = (points.log_loss, points.log_n, points.log_d, points.precision, points.method)
        key = form.name, sharing, *(one.tobytes() for one in values)
        if key not in made:
            made[key] = fit_jointly(form, points, sharing, asymptote)
        return made[key]

    try:
        for module in (weights, backtests):
            module.fit_jointly = once  # type: ignore[attr-defined]
        for name, (forms, sharings) in variants().items():
            weights.SHARINGS = sharings
            try:
                yield name, fit(known, draws=draws, forms=forms)
            except EmbudgetError as error:
                sys.stderr.write(f"{name}: {error}\n")
    finally:
        weights.SHARINGS = get_args(Sharing)
        for module in (weights, backtests):
            module.fit_jointly = fit_jointly  # type: ignore[attr-defined]


def row_of(group: str, variant: str, laws: Laws, runs: Sequence[Run]) -> Row:
    """Hold the laws against runs that they were not fitted to."""
    runs = [run for run in runs if run.method in laws.methods]
    methods, *numbers = zip(*runs, strict=True)
    sizes, tokens, logs, levels = (np.array(one) for one in numbers)
    low, high = (np.log(end) for end in laws.on_study.intervals(list(methods), sizes, tokens))
    predicted = (low + high) / 2
    regrets = [
        float(np.expm1(logs[mine][predicted[mine].argmin()] - logs[mine].min()))
        for mine in (levels == level for level in np.unique(levels))
        if mine.sum() > 1
    ]
    return Row(
        group,
        variant,
        float(((low <= logs) & (logs <= high)).mean()),
        float(np.mean([interval_score(*ends) for ends in zip(low, high, logs, strict=True)])),
        100 * float(np.sqrt(((logs - predicted) ** 2).mean())),
        100 * float(np.mean(regrets)) if regrets else None,
    )


def of_world(kind: str, seed: int, draws: int) -> Iterator[Row]:
    """One simulated world, at three distances."""
    case = make_case(kind, seed)
    for variant, laws in fitted(case.records(), draws):
        for times, end in ((0.25, 0), (4.0, -1), (16.0, -1)):
            budget, rng = times * case.world.budgets[end], np.random.default_rng([seed, int(100 * times)])
            noise = dict(zip(("full", "freeze", "bias", "lora"), rng.standard_normal(4), strict=True))
            best: dict[str, tuple[float, str, str, float, float]] = {}
            for method, shape in product(laws.methods, find_suite(case.suite)):
                tokens = budget / parse_method(method).flops_per_token(shape)
                choice = (
                    laws.on_study.predict(method, shape.model_params, tokens),
                    shape.name, method, float(shape.model_params), tokens,
                )  # fmt: skip
                best[kind_of(method)] = min(best.get(kind_of(method), choice), choice)
            runs = [
                Run(method, size, tokens, np.log(case.loss(model, method, budget))
                    + case.world.noise * noise[kind_of(method)], budget)
                for _, model, method, size, tokens in best.values()
            ]  # fmt: skip
            _, model, method, *_ = min(best.values())
            regret = case.loss(model, method, budget) / case.loss(*case.best(budget), budget) - 1
            yield row_of(f"{kind} {times:g} x", variant, laws, runs)._replace(regret=100 * regret)


def of_cut(group: str, known: Known, runs: Sequence[Run], draws: int) -> Iterator[Row]:
    """Cells that were left out of a table or study."""
    for variant, laws in fitted(known, draws):
        yield row_of(group, variant, laws, runs)


def of_study(folder: Path, draws: int) -> Iterator[Row]:
    """One of our studies, cut from above and from below."""
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [RunRecord.model_validate_json(line) for line in lines]
    cells = RunTable.of(records).cells
    budgets = sorted({cell.budget for cell in cells})
    spans = [("up", budgets[0], one) for one in budgets[1:-1]] + [("down", one, budgets[-1]) for one in budgets[1:-1]]
    for way, low, high in spans:
        known = [record for record in records if _within(record.config.train_flops, low, high)]
        runs = [
            Run(cell.method, cell.model_params, cell.tokens, np.log(cell.loss), cell.budget)
            for cell in cells
            if not _within(cell.budget, low, high)
        ]
        yield from of_cut(f"{folder.name} {way}", known, runs, draws)


def _within(flop: float, low: float, high: float) -> bool:
    return low * (1 - 1e-9) <= flop <= high * (1 + 1e-9)


def summarised(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Group, and `all` -> variant -> means; those of `all` are over the groups, its score the ratio to all forms."""
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    everything: dict[str, dict[str, float | None]] = {}
    for group in dict.fromkeys(row.group for row in rows):
        for variant in dict.fromkeys(row.variant for row in rows):
            mine = [row for row in rows if (row.group, row.variant) == (group, variant)]
            if not mine:  # a fit that was refused, which stderr has
                continue
            regrets = [row.regret for row in mine if row.regret is not None]
            table.setdefault(group, {})[variant] = {
                **{name: float(np.mean([getattr(row, name) for row in mine])) for name in ("inside", "score", "error")},
                "regret": float(np.mean(regrets)) if regrets else None,
            }
    for variant in table[rows[0].group]:
        scores = [(one[variant]["score"], one["all"]["score"]) for one in table.values() if variant in one]
        ratios = [np.log(score / of_all) for score, of_all in scores if score and of_all]
        everything.setdefault(variant, {})["score"] = float(np.exp(np.mean(ratios)))
    return table | {"all groups, times": everything}


def main() -> None:
    """Fit every case with each variant, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=[], help="of world, or a group of them")
    parser.add_argument("--seeds", nargs="+", type=int, default=[300], help="of the worlds")
    parser.add_argument("--studies", nargs="*", type=Path, default=[], help="folders with a records.jsonl")
    parser.add_argument("--tables", type=Path, help="folder with the published tables")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    rows = [row for folder in options.studies for row in of_study(folder, options.draws)]
    for cut in cuts_of(options.tables) if options.tables else ():
        rows += of_cut(*cut, options.draws)
        sys.stderr.write(f"{cut.group}\n")
    for seed, name in product(options.seeds, options.kinds):
        for kind in GROUPS.get(name, (name,)):
            rows += of_world(kind, seed, options.draws)
            sys.stderr.write(f"{kind} {seed}\n")
    summary = summarised(rows)
    for group, found in summary.items():
        for variant, values in found.items():
            shown = (f"{name} {value:.2f}" for name, value in values.items() if value is not None)
            sys.stdout.write(f"{group:<36}{variant:<28}{' '.join(shown)}\n")
    if options.out is not None:
        about = {"command": " ".join(["-m benchmarks.forms", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d")}
        save_text(options.out, json.dumps(about | {"summary": summary}, indent=2) + "\n")


if __name__ == "__main__":
    main()
