"""Is the standard error of a held-out loss right? Two losses on random halves of the held-out groups, against it.

    .venv/bin/python -m benchmarks.held_out_halves --pairs quickstart/pairs --out results/yardstick/halves.json

Two disjoint held-out sets are one draw, and all differences of choices on them err together. So a few small models are
trained, all held-out groups (of validation and test, at most seven pairs each) are parted at random into two halves,
many times, and each loss and each difference of two models is measured on 1,024 pairs of either half, in blocks of 512
candidates of that half. How far the two are apart is compared with what the errors by groups say. Candidates differ
between halves as well, which those errors leave out: the check is that this does not matter. Two minutes.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import embudget as eb
from embudget.pairs import Pairs
from embudget.records import RunConfig, standard_error
from embudget.training.heldout import embed
from studies.publish.files import save_json

MODELS = (
    ("micro-200k", "full", 1.8e-3, 5e10),
    ("micro-200k", "lora:8", 2e-3, 5e10),
    ("micro-450k", "full", 1e-3, 1e11),
    ("micro-450k", "freeze:0.5", 1e-3, 1e11),
    ("micro-200k", "full", 3e-4, 2e10),
)
"""Member, method, learning rate and budget."""
SHORT: dict[str, Any] = {"batch_size": 16}
SCALE = 40.0
MOST_OF_A_GROUP = 7
PAIRS, CANDIDATES = 1024, 512


class Row(NamedTuple):
    """A held-out pair, no text of which stands in another one."""

    query: str
    positive: str
    group: str


def main() -> None:
    """Train, part the groups many times, and write how far the halves are apart beside what the errors say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--budget-scale", type=float, default=1.0, help="below 1 for a trial")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    save_json(given.out, halves(eb.load_pairs(given.pairs), given.repeats, given.budget_scale))


def halves(
    pairs: Pairs, repeats: int, budget_scale: float = 1.0, size: int = PAIRS, block: int = CANDIDATES
) -> dict[str, Any]:
    """What is written: the ratio of the distance between halves to its error, for losses and for differences."""
    rows = distinct(pairs)
    losses = [_Embedded.of(model, pairs, rows, budget_scale) for model in MODELS]
    groups = np.unique([row.group for row in rows], return_inverse=True)[1]
    random = np.random.default_rng(0)
    ratios: dict[str, list[float]] = {"loss": [], "difference": []}
    for _ in range(repeats):
        side = random.permutation(groups.max() + 1) <= groups.max() // 2
        places = [random.permutation(np.flatnonzero(side[groups] == half))[:size] for half in (True, False)]
        measured = [[one.losses(place, block) for one in losses] for place in places]
        of_group = [groups[place[: len(place) // block * block]] for place in places]
        for one in range(len(losses)):
            ratios["loss"].append(_ratio([part[one] for part in measured], of_group))
        for one, other in combinations(range(len(losses)), 2):
            ratios["difference"].append(_ratio([part[one] - part[other] for part in measured], of_group))
    return {
        "pairs": pairs.hash,
        "held_out_pairs": len(rows),
        "groups": int(groups.max() + 1),
        "repeats": repeats,
        "models": [" ".join(map(str, model)) for model in MODELS],
    } | {
        name: {"rms_ratio": round(float(np.sqrt(np.mean(np.square(found)))), 3),
               "inside_95_percent": round(float(np.mean(np.abs(found) < 1.96)), 3)}
        for name, found in ratios.items()
    }  # fmt: skip


def distinct(pairs: Pairs) -> list[Row]:
    """The held-out pairs of both splits, a few of each group, without texts that repeat."""
    taken: defaultdict[str, int] = defaultdict(int)
    seen: set[str] = set()
    rows = []
    for split in ("validation", "test"):
        for row in pairs.table(split).to_pylist():
            found = Row(row["query"], row["positive"], row["group"])
            if taken[found.group] < MOST_OF_A_GROUP and not seen & set(found[:2]) and found.query != found.positive:
                taken[found.group] += 1
                seen |= set(found[:2])
                rows.append(found)
    return rows


class _Embedded(NamedTuple):
    """The embeddings of all rows by one trained model."""

    queries: torch.Tensor
    positives: torch.Tensor

    @classmethod
    def of(cls, model: tuple[str, str, float, float], pairs: Pairs, rows: Sequence[Row], scale: float) -> "_Embedded":
        """Train a model and embed the rows."""
        member, method, rate, budget = model
        config = RunConfig(
            model=member, method=method, train_flops=budget * scale, pairs=pairs.hash, learning_rate=rate,
            eval_pairs=32, eval_candidates=32, **SHORT,
        )  # fmt: skip
        trained = eb.train(config, pairs)
        return cls(*(embed(trained, texts).clone() for texts in ([r.query for r in rows], [r.positive for r in rows])))

    def losses(self, places: np.ndarray, block: int) -> np.ndarray:
        """The loss of each pair, nats, in whole blocks of so many candidates."""
        found = []
        for start in range(0, len(places) // block * block, block):
            at = torch.from_numpy(places[start : start + block])
            scores = SCALE * self.queries[at] @ self.positives[at].T
            norms = scores.logsumexp(dim=0) + scores.logsumexp(dim=1)
            found.append((norms / 2 - scores.diagonal()).numpy())
        return np.concatenate(found)


def _ratio(values: Sequence[np.ndarray], groups: Sequence[np.ndarray]) -> float:
    """The distance between the means of two halves over its standard error."""
    errors = []
    for of_half, of_group in zip(values, groups, strict=True):
        places = np.unique(of_group, return_inverse=True)[1]
        sizes = np.bincount(places)
        errors.append(standard_error(sizes.tolist(), (np.bincount(places, of_half) / sizes).tolist()))
    return float(values[0].mean() - values[1].mean()) / math.hypot(*errors)


if __name__ == "__main__":
    main()
