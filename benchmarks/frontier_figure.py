"""The README's figure: best held-out loss against budget, from the records of a quickstart and of its rivals.

    .venv/bin/python benchmarks/frontier_figure.py --results results/quickstart --out docs/frontier.png

Reads what `benchmarks/regret_of_quickstart.py` wrote. Markers are measured: the best run of each method at each budget
of the study, and every run at the recipe's budget. Lines are power laws through the study's markers.
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from embudget.laws import Laws, fit
from embudget.records import RunRecord

STYLES = {"full": ("#0072b2", "o"), "freeze:0.5": ("#d55e00", "s"), "lora:32": ("#009e73", "^")}
"""Colour-blind safe (Okabe and Ito 2008), and told apart by shape too."""


def main() -> None:
    """Fit and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines = (options.results / "records.jsonl").read_text().splitlines()
    records = [RunRecord.model_validate_json(line) for line in lines]
    regret = json.loads((options.results / "regret.json").read_text())
    budget = regret["train_flops"]
    laws = fit([record for record in records if record.config.train_flops < budget])
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=160, layout="constrained")
    draw_methods(axes, laws, budget, [record for record in records if record.config.train_flops == budget])
    low, high = regret["predicted_interval"]
    bars = [[regret["predicted_loss"] - low], [high - regret["predicted_loss"]]]
    axes.errorbar(
        [budget * 1.12], [regret["predicted_loss"]], yerr=bars, color="black", fmt="D", markersize=5, capsize=4,
        label=f"predicted for the recipe, {regret['recipe']}",
    )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="budget, training FLOP", ylabel="held-out contrastive loss, nats")
    axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%.1f"))
    axes.yaxis.set_minor_formatter(mpl.ticker.FormatStrFormatter("%.1f"))
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(options.out)


def draw_methods(axes: Axes, laws: Laws, budget: float, beyond: list[RunRecord]) -> None:
    """A line and markers for each method; hollow markers beyond the study."""
    for method in laws.methods:
        colour, marker = STYLES.get(method, ("#555555", "v"))
        cells = [cell for cell in laws.cells if cell.method == method]
        best = {b: min(cell.loss for cell in cells if cell.budget == b) for b in laws.table.budgets}
        axes.plot(list(best), list(best.values()), marker, color=colour, label=f"{method}, best size measured")
        line = laws.frontiers[method].line
        ends = [laws.table.budgets[0], budget]
        axes.plot(ends, [line(end) for end in ends], "-", color=colour, linewidth=1, alpha=0.7)
        losses = [record.loss or float("nan") for record in beyond if record.config.method == method]
        axes.plot([budget] * len(losses), losses, marker, color=colour, markerfacecolor="white")
    axes.plot([], [], "o", color="black", markerfacecolor="white", label="measured beyond the study")


if __name__ == "__main__":
    main()
