"""What a study's records say, as files: laws, findings, figures and the page. `make results` runs it.

    .venv/bin/python benchmarks/publish.py results/smollm2 --largest 1.6e13

Reads `{folder}/records.jsonl`, which it first writes from `{folder}/study.db` where that is there, and makes

    laws.json, summary.txt    the fitted laws, and what `embudget fit` says of them
    findings.json             the paper's statements 1 to 7, each with a verdict, as `embudget explain` has them
    downstream.json           statement 8: rank correlation of the held-out loss with nDCG@10 on the same held-out pairs
    spent.json                runs, FLOP and hours
    frontier.json             the best measured cell of each kind of method at each budget
    frontier.png              figure 1: the best loss of each kind of method against budget
    isoflop.png               figures 2 and 4: loss against size, a line a budget, a panel a kind; the best fraction or
                              rank is written at each point where there are several
    choices.png               figures 3 and 5: loss against active fraction and against rank, a line a size
    report.html               the page of `embudget report`

all from the runs at budgets of at most `--largest` FLOP, where that is given: what was measured beyond is for checking.
"""

import argparse
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy.stats import spearmanr

from embudget.files import write_whole
from embudget.findings import explain
from embudget.laws import Cell, Laws, fit
from embudget.laws.basis import kind_of
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.report import write_report
from embudget.study import Store

KINDS = {"full": ("#0072b2", "o"), "freeze": ("#d55e00", "s"), "bias": ("#cc79a7", "D"), "lora": ("#009e73", "^")}
"""Colour-blind safe (Okabe and Ito 2008), and told apart by shape too."""


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


def read_records(folder: Path) -> list[RunRecord]:
    """The study's records, taken from its store where that is there; as JSON lines they can be committed."""
    path = folder / "records.jsonl"
    if (folder / "study.db").exists():
        with Store(folder / "study.db") as store:
            records = sorted(store.records(), key=lambda record: (record.config.train_flops, record.id))
        write_whole(path, "".join(record.model_dump_json(exclude_none=True) + "\n" for record in records))
    return [RunRecord.model_validate_json(line) for line in path.read_text().splitlines()]


def save(path: Path, value: Any) -> None:  # noqa: ANN401 - anything that JSON holds
    """Write as JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def downstream(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Spearman's correlation of loss and nDCG@10: over all runs, and the median over budgets of that within one.

    Statement 8 is called reproduced where the correlation is -0.5 or stronger within every budget, not reproduced where
    it is 0 or positive within every one, and undetermined otherwise. Budgets of fewer than 8 runs are left out.
    """
    scored = [(r.config.train_flops, r.loss, r.ndcg) for r in records if r.loss is not None and r.ndcg is not None]
    by_budget = defaultdict(list)
    for budget, loss, ndcg in scored:
        by_budget[budget].append((loss, ndcg))
    within = {budget: rank_correlation(runs) for budget, runs in sorted(by_budget.items()) if len(runs) >= 8}
    if len(scored) < 8:
        return {"runs": len(scored), "verdict": "undetermined"}
    return {
        "verdict": judged(list(within.values())),
        "runs": len(scored),
        "spearman": rank_correlation([(loss, ndcg) for _, loss, ndcg in scored]),
        "median_within_budgets": statistics.median(within.values()) if within else None,
        "spearman_within_budgets": {f"{budget:g}": value for budget, value in within.items()},
    }


def judged(correlations: Sequence[float]) -> str:
    """The verdict on statement 8; see `downstream`."""
    if correlations and max(correlations) <= -0.5:
        return "reproduced"
    return "not reproduced" if correlations and min(correlations) >= 0 else "undetermined"


def rank_correlation(runs: Sequence[tuple[float, float]]) -> float:
    """Of pairs of numbers; -1 where the one falls whenever the other rises."""
    return round(float(spearmanr([loss for loss, _ in runs], [score for _, score in runs]).statistic), 4)


def spent(records: Sequence[RunRecord]) -> dict[str, Any]:
    """What the study took, by budget; hours of training alone. What runs of one trunk share counts once."""
    by_budget = defaultdict(list)
    for record in records:
        by_budget[record.config.train_flops].append(record)
    return {
        "runs": len(records),
        "statuses": Counter(record.status for record in records),
        "train_flops": sum(record.own_share * (record.train_flops or 0.0) for record in records),
        "hours": round(hours(records), 2),
        "median_flops_per_second": round(
            statistics.median(r.train_flops / r.seconds for r in records if r.train_flops and r.seconds)
        ),
        "by_budget": {
            f"{budget:g}": {"runs": len(runs), "hours": round(hours(runs), 3)}
            for budget, runs in sorted(by_budget.items())
        },
    }


def hours(records: Sequence[RunRecord]) -> float:
    """Of training, what runs of one trunk share counted once."""
    return sum(record.own_share * (record.seconds or 0.0) for record in records) / 3600


def best_of_kind(laws: Laws, kind: str) -> dict[float, dict[int, Cell]]:
    """Budget -> size -> the best cell of a kind of method, over its fractions or ranks."""
    found: dict[float, dict[int, Cell]] = defaultdict(dict)
    for cell in laws.cells:
        if kind_of(cell.method) != kind:
            continue
        size = int(cell.model_params)
        if size not in found[cell.budget] or cell.loss < found[cell.budget][size].loss:
            found[cell.budget][size] = cell
    return dict(sorted(found.items()))


def best_by_budget(laws: Laws, kind: str) -> dict[float, Cell]:
    """Budget -> the best cell of a kind of method, over its sizes and its fractions or ranks."""
    return {
        budget: min(cells.values(), key=lambda cell: cell.loss) for budget, cells in best_of_kind(laws, kind).items()
    }


def frontier(laws: Laws) -> list[dict[str, Any]]:
    """The best cells as rows; losses are means over the seeds at the best rate, as the laws see them."""
    return [
        {
            "kind": kind, "train_flops": budget, "model": cell.model, "method": cell.method,
            "loss": round(cell.loss, 4), "seeds": cell.seeds,
        }
        for kind in kinds_of(laws)
        for budget, cell in best_by_budget(laws, kind).items()
    ]  # fmt: skip


def draw_frontier(laws: Laws, out: Path) -> None:
    """The best measured loss of each kind of method against budget."""
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=160, layout="constrained")
    for kind in kinds_of(laws):
        colour, marker = KINDS[kind]
        best = best_by_budget(laws, kind)
        axes.plot(list(best), [cell.loss for cell in best.values()], marker + "-", color=colour, label=kind)
        for budget, cell in best.items():
            label = f"{blocks(cell)}{number_of(cell, ', ')}"
            axes.annotate(label, (budget, cell.loss), (0, 6), textcoords="offset points", fontsize=6, color=colour)
    axes.set(xscale="log", xlabel="budget, training FLOP", ylabel="best held-out contrastive loss, nats")
    finish(axes)
    axes.legend(frameon=False)
    figure.savefig(out)
    plt.close(figure)


def draw_isoflops(laws: Laws, out: Path) -> None:
    """Loss against size for each budget, a panel for each kind of method."""
    kinds = kinds_of(laws)
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(4 * len(kinds), 4), dpi=160, layout="constrained", sharey=True, squeeze=False
    )
    colours = mpl.colormaps["viridis"]
    for kind, axes in zip(kinds, panels[0], strict=True):
        budgets = best_of_kind(laws, kind)
        for budget, cells in budgets.items():
            colour = colours(laws.table.budgets.index(budget) / max(1, len(laws.table.budgets) - 0.5))
            sizes = sorted(cells)
            axes.plot(sizes, [cells[size].loss for size in sizes], "o-", color=colour, label=f"{budget:.3g} FLOP")
            for size in sizes:
                label = number_of(cells[size])
                axes.annotate(label, (size, cells[size].loss), (0, 5), textcoords="offset points", fontsize=6)
        axes.set(xscale="log", xlabel="N, parameters without embeddings", title=kind)
        finish(axes)
        axes.legend(frameon=False, fontsize=7)
    panels[0][0].set_ylabel("held-out contrastive loss, nats")
    figure.savefig(out)
    plt.close(figure)


def draw_choices(laws: Laws, out: Path) -> None:
    """Loss against active fraction and against rank: a row for each, a panel for each budget, a line for each size."""
    kinds = [kind for kind in ("freeze", "lora") if len(numbers_of(laws, kind)) > 1]
    if not kinds:
        return
    budgets = list(laws.table.budgets)
    figure, panels = plt.subplots(
        len(kinds), len(budgets), figsize=(3.6 * len(budgets), 3.4 * len(kinds)), dpi=160, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    colours = mpl.colormaps["viridis"]
    names = sorted({(cell.model_params, cell.model) for cell in laws.cells})
    for kind, row in zip(kinds, panels, strict=True):
        for budget, axes in zip(budgets, row, strict=True):
            for place, (_, model) in enumerate(names):
                cells = [c for c in plain_cells(laws, kind) if (c.budget, c.model) == (budget, model)]
                points = sorted((parse_method(cell.method).number or 0.0, cell.loss) for cell in cells)
                if points:
                    colour = colours(place / max(1, len(names) - 0.5))
                    axes.plot(
                        *zip(*points, strict=True), "o-", color=colour, label=model.rpartition(":")[2] + " blocks"
                    )
            axes.set(
                xscale="log", title=f"{budget:.3g} FLOP", xlabel="LoRA rank" if kind == "lora" else "active fraction"
            )
            ticks = numbers_of(laws, kind)
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            finish(axes)
        row[0].set_ylabel("held-out loss, nats")
        lines = {line.get_label(): line for axes in row for line in axes.get_lines()}
        row[-1].legend(lines.values(), lines.keys(), frameon=False, fontsize=7)
    figure.savefig(out)
    plt.close(figure)


def kinds_of(laws: Laws) -> list[str]:
    """The kinds of method that were measured, in the paper's order."""
    measured = {kind_of(cell.method) for cell in laws.cells}
    return [kind for kind in KINDS if kind in measured]


def numbers_of(laws: Laws, kind: str) -> list[float]:
    """The ranks or fractions of a kind that were measured."""
    return sorted({parse_method(cell.method).number or 0.0 for cell in plain_cells(laws, kind)})


def plain_cells(laws: Laws, kind: str) -> list[Cell]:
    """The cells of a kind of method without options, which differ by rank or fraction alone."""
    return [cell for cell in laws.cells if kind_of(cell.method) == kind and cell.method.count(":") <= 1]


def number_of(cell: Cell, before: str = "") -> str:
    """A cell's rank or active fraction, as text."""
    number = parse_method(cell.method).number
    return "" if number is None else f"{before}{number:g}"


def blocks(cell: Cell) -> str:
    """Which member: its depth where it is a cut model."""
    depth = cell.model.rpartition(":")[2]
    return f"{depth} blocks" if depth.isdigit() else cell.model


def finish(axes: Axes) -> None:
    """A quiet frame."""
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
