"""The figure of a quickstart: best held-out loss against budget, of its study, its recipe and the recipe's rivals.

    .venv/bin/python -m studies.publish.quickstart_figure --results results/quickstart --out docs/frontier.png

Reads what `benchmarks/regret_of_quickstart.py` wrote. Markers are measured: the best run of each method at each budget
of the study, and every run at the recipe's budget. Lines are power laws through the study's markers.
"""

import argparse
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter

from embudget.laws import Laws, fit
from embudget.records import RunRecord
from studies.publish.cells import kind_of
from studies.publish.figures import STYLES, finish, save_figure
from studies.publish.files import read_json, read_lines


def main() -> None:
    """Fit and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    records, regret = read_lines(options.results / "records.jsonl"), read_json(options.results / "regret.json")
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
    axes.yaxis.set_major_formatter(FormatStrFormatter("%.1f"))
    axes.yaxis.set_minor_formatter(FormatStrFormatter("%.1f"))
    finish(axes)
    axes.legend(frameon=False)
    save_figure(figure, options.out)


def draw_methods(axes: Axes, laws: Laws, budget: float, beyond: list[RunRecord]) -> None:
    """Draw a line and markers for each method, with hollow markers beyond the study."""
    for method in laws.methods:
        colour, marker = STYLES[kind_of(method)]
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
