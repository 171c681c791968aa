"""Which policy's models are better on real runs, and by more than noise? The rows of `benchmarks.spend_real` compared.

A policy is compared with `spend` as `embudget compare` compares two settings with their seeds: pair by pair of the
held-out groups, each side averaged over the seeds that both have. The error of seeds is that of the settings which were
trained with several seeds, the rules of thumb; that a search may choose otherwise with another seed comes on top, so
that each seed's own difference is given too.
"""

from collections.abc import Sequence
from typing import Any

from embudget.comparison import seed_noise
from embudget.comparison.contrast import Contrast, contrast
from embudget.comparison.noise import SeedNoise
from embudget.records import RunRecord
from embudget.yardstick import Measure, paired_difference

Row = dict[str, Any]
OURS = "spend"


def table_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What came of each budget by each policy, the lowest budget first."""
    done = [row for row in rows if "record" in row]
    records = {id(row): RunRecord.model_validate(row["record"]) for row in done}
    noises: dict[Measure, SeedNoise] = {
        "loss": seed_noise(records.values()),
        "ndcg": seed_noise(records.values(), "ndcg"),
    }
    found = []
    for budget in sorted({row["budget"] for row in rows}):
        policies = {}
        for name in dict.fromkeys(row["policy"] for row in rows):
            own = {row["seed"]: row for row in done if (row["budget"], row["policy"]) == (budget, name)}
            ours = {row["seed"]: row for row in done if (row["budget"], row["policy"]) == (budget, OURS)}
            both = sorted(own.keys() & ours.keys())
            sides = [[records[id(side[seed])] for seed in both] for side in (own, ours)]
            if own:
                policies[name] = _alone([own[seed] for seed in sorted(own)]) | (
                    _against(sides[0], sides[1], noises) if both and name != OURS else {}
                )
        failed = {
            f"{row['policy']} {row['seed']}": row["error"]
            for row in rows
            if row["budget"] == budget and "record" not in row
        }
        found.append({"budget": budget, "policies": policies, "failed": failed})
    return found


def _alone(rows: Sequence[Row]) -> dict[str, Any]:
    """What is said of a policy by itself, each number by seed."""
    names = ("choice", "loss", "ndcg", "searched", "runs", "spent", "expected", "interval", "better_start", "seconds")
    return {"seeds": [row["seed"] for row in rows]} | {name: [row[name] for row in rows] for name in names}


def _against(own: list[RunRecord], ours: list[RunRecord], noises: dict[Measure, SeedNoise]) -> dict[str, Any]:
    """The policy's loss minus that of `spend`, above 0 where spend is better."""
    found: Contrast = contrast(own, ours, (1, 1), noises)
    by_seed = [paired_difference(one.groups, other.groups) for one, other in zip(own, ours, strict=True)]
    return {
        "minus_spend": {
            "loss": found.loss.model_dump(),
            "percent": found.percent,
            "ndcg": found.ndcg.model_dump(),
            "by_seed": [{"difference": one.nats, "group_error": one.error} for one in by_seed],
            "noise_settings": found.noise_settings,
        }
    }


def markdown(table: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown, one for each budget."""
    lines = []
    for one in table:
        lines += [
            f"### {one['budget']:g} FLOP",
            "",
            "| policy | loss by seed | nDCG@10 by seed | loss minus spend's | searched | trained at the end |",
            "|---|---|---|---|---|---|",
        ]
        for name, own in sorted(one["policies"].items(), key=lambda item: sum(item[1]["loss"]) / len(item[1]["loss"])):
            losses, ndcgs = (", ".join(f"{value:.3f}" for value in own[what]) for what in ("loss", "ndcg"))
            searched = ", ".join(f"{100 * share:.0f} %" for share in own["searched"])
            choices = "; ".join(dict.fromkeys(own["choice"]))
            lines.append(f"| {name} | {losses} | {ndcgs} | {_apart(own.get('minus_spend'))} | {searched} | {choices} |")
        lines += ["", *(f"{name}: {error}" for name, error in one["failed"].items())]
    return "\n".join(lines) + "\n"


def _apart(minus_spend: dict[str, Any] | None) -> str:
    if minus_spend is None:
        return "-"
    loss = minus_spend["loss"]
    error = "" if loss["error"] is None else f" ± {loss['error']:.3f}"
    return f"{loss['difference']:+.3f}{error}{', more than noise' if loss['more_than_noise'] else ''}"
