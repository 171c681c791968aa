"""What a study's records say, as files: laws, findings, figures and the page. `make results` runs it.

    .venv/bin/python benchmarks/publish.py results/smollm2 --largest 1.6e13

Reads `{folder}/records.jsonl`, which it first writes from `{folder}/study.db` where that is there, and makes

    laws.json, summary.txt    the fitted laws, and what `embudget fit` says of them
    findings.json             the paper's statements 1 to 7, each with a verdict, as `embudget explain` has them
    downstream.json           statement 8: rank correlation of the held-out loss with nDCG@10 on the same held-out pairs
    spent.json                runs, FLOP and hours
    frontier.json             the best cell of each kind of method at each budget
    frontier.png              figure 1: the best loss of each kind of method against budget
    isoflop.png               figures 2 and 4: loss against size, a line a budget, a panel a kind; the best fraction or
                              rank is written at each point where there are several
    choices.png               figures 3 and 5: loss against active fraction and against rank, a line a size
    report.html               the page of `embudget report`

all from the runs at budgets of at most `--largest` FLOP, where that is given: what was measured beyond is for checking.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results_files import read_records, save
from scipy.stats import spearmanr
from spent import spent
from study_figures import best_by_budget, draw_choices, draw_frontier, draw_isoflops, kinds_of

from embudget.files import write_whole
from embudget.findings import explain
from embudget.laws import Laws, fit
from embudget.records import RunRecord
from embudget.report import write_report

STATEMENT = "A lower contrastive loss goes with a better downstream score."
"""The paper's eighth; the others are in embudget.findings."""

NEAR = 1.05
"""Times the lowest loss: about two standard deviations of a run above it."""


def main() -> None:
    """Make all files of a study's results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--largest", type=float, default=float("inf"), metavar="FLOP")
    options = parser.parse_args()
    folder: Path = options.folder
    records = read_records(folder)
    used = [record for record in records if record.config.train_flops <= options.largest]
    laws = fit(used)
    laws.save(folder / "laws.json")
    write_whole(folder / "summary.txt", laws.summary() + "\n")
    findings = [finding.model_dump(mode="json") for finding in explain(laws)]
    save(folder / "findings.json", findings)
    save(folder / "downstream.json", downstream(used))
    save(folder / "spent.json", spent(records))
    save(folder / "frontier.json", frontier(laws))
    draw_frontier(laws, folder / "frontier.png")
    draw_isoflops(laws, folder / "isoflop.png")
    draw_choices(laws, folder / "choices.png")
    write_report(folder / "report.html", used, laws)


def downstream(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Spearman's correlation of loss and nDCG@10: over all runs, within each budget, and near the best of each.

    Statement 8 is called reproduced where the correlation is -0.5 or stronger within every budget, not reproduced where
    it is 0 or positive within every one, and undetermined otherwise. Budgets of fewer than 8 runs are left out. Near
    the best means within NEAR times the lowest loss of the budget: there a choice between runs would be made.
    """
    scored = [(r.config.train_flops, r.loss, r.ndcg) for r in records if r.loss is not None and r.ndcg is not None]
    by_budget = defaultdict(list)
    for budget, loss, ndcg in scored:
        by_budget[budget].append((loss, ndcg))
    within = correlations(by_budget)
    near = {budget: [run for run in runs if run[0] <= NEAR * min(runs)[0]] for budget, runs in by_budget.items()}
    if len(scored) < 8:
        return {"statement": STATEMENT, "runs": len(scored), "verdict": "undetermined"}
    return {
        "statement": STATEMENT,
        "verdict": judged(list(within.values())),
        "runs": len(scored),
        "spearman": rank_correlation([(loss, ndcg) for _, loss, ndcg in scored]),
        "spearman_within_budgets": within,
        "spearman_near_the_best": correlations(near),
        "runs_near_the_best": {f"{budget:g}": len(runs) for budget, runs in sorted(near.items())},
    }


def correlations(by_budget: Mapping[float, Sequence[tuple[float, float]]]) -> dict[str, float]:
    """Of the budgets that have 8 runs."""
    return {f"{budget:g}": rank_correlation(runs) for budget, runs in sorted(by_budget.items()) if len(runs) >= 8}


def judged(correlations: Sequence[float]) -> str:
    """The verdict on statement 8; see `downstream`."""
    if correlations and max(correlations) <= -0.5:
        return "reproduced"
    return "not reproduced" if correlations and min(correlations) >= 0 else "undetermined"


def rank_correlation(runs: Sequence[tuple[float, float]]) -> float:
    """Of pairs of numbers; -1 where the one falls whenever the other rises."""
    return round(float(spearmanr([loss for loss, _ in runs], [score for _, score in runs]).statistic), 4)


def frontier(laws: Laws) -> list[dict[str, Any]]:
    """The best cells as rows, as the laws see them.

    A loss is the mean over the seeds at the best of the rates tried, or where `vertex` is true, that of the lowest
    point of a parabola through three rates, which `seeds` runs would tell as well.
    """
    return [
        {
            "kind": kind, "train_flops": budget, "model": cell.model, "method": cell.method,
            "loss": round(cell.loss, 4), "vertex": bool(cell.rate_inside), "seeds": cell.seeds,
        }
        for kind in kinds_of(laws)
        for budget, cell in best_by_budget(laws, kind).items()
    ]  # fmt: skip


if __name__ == "__main__":
    main()
