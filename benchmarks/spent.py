"""What runs took."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from embudget.records import RunRecord


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
