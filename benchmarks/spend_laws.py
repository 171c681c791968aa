"""How well does a policy spend one budget on two starts, where the truth is what their real runs follow?

    python -m benchmarks.spend_laws --budgets 4e12 1.6e13 --seeds 3 --out results/simulation/spend_laws.json

A real budget takes an hour (`benchmarks.spend_real`), one of these seconds. The truth is the law that `embudget fit`
finds in the runs of `results/starts` and `results/frontier`, whole and cut MiniLM and SmolLM2, times exp(c log^2(r /
r*)), c = 0.05, a wrong rate's price. Best rates r* are those of the rate law where a member has envelopes, else off
the default by what was usual (`embudget.spending.usual_rates`). Only recorded members are sold. A measured loss has
noise of 1.2 % and states the error that held-out groups give it, 3.8 %. Regret is that of `benchmarks.spend_outcomes`.

`spend-before` is the policy as it was until these worlds and real runs were looked at.

Two things favour `spend`: its prior knows half of the usual rates, and no loss lies off its law.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.host import measured_by
from benchmarks.spend_outcomes import Policy, row_of, spend
from benchmarks.spend_policies import ASHA, before, nearest_tuned
from benchmarks.spend_policies.asha import asha
from benchmarks.spend_policies.rules import largest_of_100_steps, whole_retriever
from benchmarks.spend_policies.scripts import Script, policy_of
from benchmarks.spend_worlds import USEFUL_STEPS
from benchmarks.worlds import CHANCE
from embudget.files import save_text
from embudget.laws import Laws, fit
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.spending.allocation import Allocation, Arm, Measurement, Purchase, Setting
from embudget.spending.arms import LEFT, SEARCHED
from embudget.spending.policy import decide
from embudget.spending.prepare import METHODS
from embudget.spending.usual_rates import usual_log_rates
from embudget.study.batch_size import BatchRule
from embudget.suite import find_shape
from studies.publish.files import read_lines

RECORDS = (Path("results/starts/records.jsonl"), Path("results/frontier/records.jsonl"))
POLICIES = ("spend", "spend-before", "asha", "largest", "retriever")
NOISE, ERROR = 0.012, 0.038
CURVATURE = 0.05
TOKENS_PER_PAIR = 56.8
"""Of the demo pairs."""
PAIRS = 105_081
SHARPNESS = 16.0


class LawsWorld(NamedTuple):
    """A budget whose runs follow the laws of real ones."""

    allocation: Allocation
    laws: Laws

    def measure(self, purchase: Purchase, measured: object = ()) -> Measurement:
        """The true loss with a run's noise, which is the same whenever the run is bought."""
        text = f"{purchase.setting.model_dump_json()} {purchase.train_flops:.5e} {self.allocation.seed}"
        seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        z = np.random.default_rng(seed).standard_normal()
        loss = self.true_loss(purchase.setting, purchase.train_flops) * math.exp(NOISE * z)
        return Measurement(purchase, loss, error=ERROR * loss)

    def true_loss(self, setting: Setting, train_flops: float) -> float:
        """The law's loss at this rate, never above guessing, nats."""
        arm = self.allocation.arm(setting)
        off = math.log(setting.learning_rate / self._best_rate(arm, train_flops))
        law = self.laws.predict(arm.method, arm.model_params, arm.tokens(train_flops), lineage=self._lineage(arm))
        return float(((law * math.exp(CURVATURE * off**2)) ** -SHARPNESS + CHANCE**-SHARPNESS) ** (-1 / SHARPNESS))

    def best_setting(self, setting: Setting, train_flops: float) -> Setting:
        """The same arm at its best rate."""
        return setting.model_copy(update={"learning_rate": self._best_rate(self.allocation.arm(setting), train_flops)})

    def best(self, train_flops: float) -> Setting:
        """The arm of the lowest loss at its best rate."""
        batch = self.allocation.batch_sizes[0]
        settings = [
            Setting(
                model=arm.model, method=arm.method, learning_rate=self._best_rate(arm, train_flops), batch_size=batch
            )
            for arm in self.allocation.arms
        ]
        return min(settings, key=lambda one: self.true_loss(one, train_flops))

    def lowest(self, train_flops: float) -> float:
        """The lowest true loss, nats."""
        return self.true_loss(self.best(train_flops), train_flops)

    def _lineage(self, arm: Arm) -> str | None:
        return arm.lineage if self.laws.others else None

    def _best_rate(self, arm: Arm, train_flops: float) -> float:
        rates = self.laws.of(self._lineage(arm)).rate_law
        if rates is not None and arm.model in rates.members.get(arm.method, {}):
            return rates.predict(arm.method, arm.model_params, arm.tokens(train_flops), arm.model)
        return arm.default_rate * math.exp(float(usual_log_rates([arm])[0]))


def make_world(laws: Laws, records: list[RunRecord], budget: float, seed: int) -> LawsWorld:
    """What a budget may be spent on: the recorded members, with the batch of `embudget spend`."""
    starts = {one.config.model: one.base_loss for one in records}
    retrievers = {one.config.model for one in records if (one.lineage or "").endswith("retriever")}
    arms = []
    for model in sorted(starts, key=lambda name: find_shape(name).model_params):
        shape = find_shape(model)
        for method in map(parse_method, METHODS):
            arms.append(
                Arm(
                    model=model, method=str(method), lineage=shape.lineage, model_params=shape.model_params,
                    flops_per_token=method.flops_per_token(shape), default_rate=method.default_learning_rate(shape),
                    base_loss=starts[model] if model in retrievers else None,
                )
            )  # fmt: skip
    batch = BatchRule().batch_size(budget * math.sqrt(SEARCHED * LEFT))
    return LawsWorld(
        Allocation(
            budget=budget, arms=tuple(arms), batch_sizes=(batch,), tokens_per_pair=TOKENS_PER_PAIR, seed=seed,
            training_pairs=PAIRS,
        ),
        laws,
    )  # fmt: skip


def policy(name: str, allocation: Allocation) -> Policy:
    """A policy of `POLICIES`."""
    if name == "spend":
        return decide
    if name == "spend-before":
        return before
    step = allocation.batch_sizes[0] * TOKENS_PER_PAIR * min(one.flops_per_token for one in allocation.arms)
    scripts: dict[str, Callable[[Allocation], Script]] = {
        "asha": partial(asha, bracket=ASHA[nearest_tuned(allocation.budget / (USEFUL_STEPS * step))]),
        "largest": largest_of_100_steps,
        "retriever": whole_retriever,
    }
    return policy_of(scripts[name])


def main() -> None:
    """Spend each budget by each policy, print the means, write all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", type=float, nargs="+", default=[4e12, 1.6e13, 6.4e13], help="FLOP")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=[*POLICIES])
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    records = [one for path in RECORDS for one in read_lines(path) if one.config.method in METHODS]
    laws = fit(records)
    rows: list[dict[str, Any]] = []
    for budget in options.budgets:
        for name in options.policies:
            for seed in range(options.seeds):
                world = make_world(laws, records, budget, seed)
                outcome = row_of(spend(world, policy(name, world.allocation)))
                rows.append({"policy": name, "budget": budget, "seed": seed, "lowest": world.lowest(budget)} | outcome)
            own = [row for row in rows if (row["policy"], row["budget"]) == (name, budget)]
            regret, searched = (statistics.mean(100 * row[what] for row in own) for what in ("regret", "searched"))
            finals = ", ".join(dict.fromkeys(row["final"] for row in own))
            sys.stdout.write(f"{budget:g} {name}: regret {regret:.1f} %, searched {searched:.0f} %, {finals}\n")
            sys.stdout.flush()
    if options.out is not None:
        about = measured_by("benchmarks.spend_laws")
        save_text(options.out, json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
