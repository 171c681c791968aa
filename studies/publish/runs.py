"""What a study's runs came to and what they took: losses, FLOP, hours."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from embudget.records import RunRecord


def loss_or_chance(record: RunRecord) -> float | None:
    """The held-out loss in nats; chance, log(candidates), for a run that diverged; None for one that failed."""
    return math.log(record.config.eval_candidates) if record.status == "diverged" else record.loss


def spent(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Runs, FLOP and hours, together and by budget.

    Hours are those of training alone. Several budgets may share one trunk; `own_share` is the part of it that a record
    adds to the others, so that nothing counts twice.
    """
    by_budget = defaultdict(list)
    for record in records:
        by_budget[record.config.train_flops].append(record)
    return {
        "runs": len(records),
        "statuses": Counter(record.status for record in records),
        "train_flops": sum(record.own_share * (record.train_flops or 0.0) for record in records),
        "hours": round(_hours(records), 2),
        "median_flops_per_second": round(
            statistics.median(r.train_flops / r.seconds for r in records if r.train_flops and r.seconds)
        ),
        "by_budget": {
            f"{budget:g}": {"runs": len(runs), "hours": round(_hours(runs), 3)}
            for budget, runs in sorted(by_budget.items())
        },
    }


def _hours(records: Sequence[RunRecord]) -> float:
    return sum(record.own_share * (record.seconds or 0.0) for record in records) / 3600
