"""What does a change of one default do to the loss, each side at its own best rate? From the records of a small study.

    .venv/bin/python -m studies.publish.changes results/last_token pooling
    .venv/bin/python -m studies.publish.changes results/defaults scale

The first argument is the folder, the second a field of a run's configuration. Each of its values is compared with the
field's default, or with its lowest value where the study lacks the default. Members, methods and budgets are taken one
by one: at each, both sides at the best of the rates that were tried, and the difference of their losses on the same
held-out groups, with the standard error that other groups would bring. A rate at an end of those tried is marked, since
a further one may be better. What another seed would bring is not in that error.

Writes changes.json, one row a member, method, budget and value, and spent.json.
"""

import argparse
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from embudget.records import RunConfig, RunRecord
from embudget.yardstick import loss_error, paired_difference
from studies.publish.files import read_records, save_json
from studies.publish.runs import spent


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("field", choices=sorted(RunConfig.model_fields))
    options = parser.parse_args()
    records = read_records(options.folder)
    save_json(options.folder / "changes.json", changes(records, options.field))
    save_json(options.folder / "spent.json", spent(records))


def changes(records: Sequence[RunRecord], field: str) -> list[dict[str, Any]]:
    """A row for each value of ``field`` at each member, method and budget, the base's first."""
    rows = []
    for (model, method, budget), runs in groupby(sorted(records, key=_place), _place):
        of_value: dict[Any, list[RunRecord]] = {}
        for run in runs:
            of_value.setdefault(getattr(run.config, field), []).append(run)
        default = RunConfig.model_fields[field].default
        base = default if default in of_value else min(of_value)
        against = best_of(of_value[base])
        for value in [base, *sorted(value for value in of_value if value != base)]:
            tried, best = of_value[value], best_of(of_value[value])
            rates = sorted(run.config.learning_rate for run in tried)
            difference = paired_difference(best.groups or {}, against.groups or {})
            rows.append({
                "member": model, "method": method, "budget": budget, field: value, "rates": rates,
                "rate": best.config.learning_rate, "at_an_end": best.config.learning_rate in (rates[0], rates[-1]),
                "loss": best.loss, "error": loss_error(best.groups or {}), "ndcg": best.ndcg,
                "difference": difference.nats, "difference_error": difference.error,
            })  # fmt: skip
    return rows


def best_of(runs: Sequence[RunRecord]) -> RunRecord:
    """The run with the lowest loss; one that diverged is the worst."""
    return min(runs, key=lambda run: float("inf") if run.loss is None else run.loss)


def _place(record: RunRecord) -> tuple[str, str, float]:
    return record.config.model, record.config.method, record.config.train_flops


if __name__ == "__main__":
    main()
