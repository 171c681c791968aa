"""What a study's records say, as files: laws, findings, figures and the page.

    .venv/bin/python -m studies.publish.study results/smollm2 --largest 1.6e13

Reads `{folder}/records.jsonl`, to which it first adds what `{folder}/study.db` has beyond it, and writes

    laws.json, summary.txt    the fitted laws, and what `embudget fit` says about them
    findings.json             the paper's statements 1 to 7, each with a verdict, as `embudget explain` gives them
    agreement.json            statement 8: how held-out loss and scores rank the runs, as `embudget agree` says
    spent.json                runs, FLOP and hours
    frontier.json             the best cell of each kind of method at each budget
    frontier.png              figure 1: the best loss of each kind of method against budget
    isoflop.png               figures 2 and 4: loss against size, a panel a kind, a shade a budget; the best fraction or
                              rank is written at each point where there are several
    fractions.png             figure 3: loss against active fraction, a panel a size, a shade a budget
    ranks.png                 figure 5: the same against the rank of LoRA, at equal FLOP and at equal tokens
    report.html               the page of `embudget report`

`--largest` leaves out the runs above that many FLOP, which are kept to check a forecast made without them. Only
spent.json counts all runs. laws.json and report.html are not committed: the laws are in src/embudget/data/laws, and the
page carries 5 MB of plotting library.
"""

import argparse
from pathlib import Path
from typing import Any

from embudget.files import write_whole
from embudget.findings import agree, explain
from embudget.laws import Laws, fit
from embudget.report import write_report
from studies.publish.cells import best_by_budget, kinds_of
from studies.publish.figures import save_figures
from studies.publish.files import read_records, save_json
from studies.publish.runs import spent


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
    save_json(folder / "findings.json", [finding.model_dump(mode="json") for finding in explain(laws)])
    save_json(folder / "agreement.json", agree(used).model_dump(mode="json"))
    save_json(folder / "spent.json", spent(records))
    save_json(folder / "frontier.json", frontier(laws))
    save_figures(laws, folder)
    write_report(folder / "report.html", used, laws)


def frontier(laws: Laws) -> list[dict[str, Any]]:
    """The best cell of each kind at each budget, a row each.

    The loss is the mean over the seeds at the best of the rates tried. Where `vertex` is true, three rates or more gave
    a parabola, and the loss is that of its lowest point, as certain as the mean of `seeds` runs.
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
