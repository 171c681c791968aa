"""How good is the model that a budget really ends with? Policies spend it on real runs, paired by seed.

    embudget pairs build demo --out quickstart/pairs
    OMP_NUM_THREADS=1 python -m benchmarks.spend_real --budgets 4e12 1.6e13 --seeds 0 1

The policies are those of `benchmarks.spend_policies`, whose worlds are simulated or replayed; here a purchase is
trained by `embudget.spending.run.spend_budget`, as `embudget spend` does. So all buy from the same members (smollm2 and
minilm, whole and cut) and methods, with the same batch, trunks, whole steps and charges, and measure on the same
held-out pairs. `spend` is the policy of `embudget spend` itself. A policy with the seed s has it for its own draws and
for all of its runs.

    spend        `embudget spend`
    asha         ASHA with its best bracket of the simulated worlds whose budget is nearest, in cheapest useful runs
    largest      the largest member that takes 100 steps, by lora:32 at its default rate
    retriever    whole all-MiniLM-L6-v2 by full fine-tuning at 2e-5, as examples of sentence-transformers do

The loss of a row is that of the final trained model. `embudget spend` would hand over a start as it is where no run is
below it; a row names such a start in ``better_start``.

Each policy spends in a folder of its own in WORK, from which a command that was killed goes on. Its row, with the
record of the final run, is appended to ``rows.jsonl`` in OUT when its budget is spent, and `spend`'s decisions are
copied beside it. ``table.json`` is made anew of all rows there are (`benchmarks.spend_real_table`).
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.host import measured_by
from benchmarks.spend_outcomes import ROUNDING, Policy
from benchmarks.spend_policies import ASHA, nearest_tuned
from benchmarks.spend_policies.asha import asha
from benchmarks.spend_policies.rules import largest_of_100_steps, whole_retriever
from benchmarks.spend_policies.scripts import Script, policy_of
from benchmarks.spend_real_table import Row, markdown, table_of
from benchmarks.spend_worlds import USEFUL_STEPS
from embudget.errors import RunError
from embudget.files import save_text
from embudget.means import find_means
from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, Setting
from embudget.spending.folder import DECISIONS, STORE
from embudget.spending.prepare import Caps, Prepared, prepare, study_of
from embudget.spending.run import SpentBudget, spend_budget
from embudget.study import Study

SUITE = "smollm2,minilm"
POLICIES = ("spend", "asha", "largest", "retriever")
ROWS, TABLE = "rows.jsonl", "table.json"


def main() -> None:
    """Spend what is missing, print the table, write it."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    study = study_of(SUITE, options.pairs)
    for budget in options.budgets:
        for seed in options.seeds:
            for name in options.policies:
                add_row(study, name, budget, seed, options.out, options.work)
    rows = read(options.out / ROWS)
    table = table_of(rows)
    sys.stdout.write(markdown(table))
    about = measured_by("benchmarks.spend_real")
    save_text(options.out / TABLE, json.dumps(about | {"budgets": table}, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, default=Path("quickstart/pairs"), help="folder of text pairs")
    parser.add_argument("--budgets", type=float, nargs="+", default=[4e12, 1.6e13, 6.4e13], help="FLOP in total")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=[*POLICIES])
    parser.add_argument("--out", type=Path, default=Path("results/spend_real"), help="folder of the results")
    parser.add_argument("--work", type=Path, default=Path("scratch/spend_real"), help="folder of runs and models")
    return parser.parse_args()


def read(path: Path) -> list[Row]:
    """The rows there are."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def add_row(study: Study, name: str, budget: float, seed: int, out: Path, work: Path) -> None:
    """Have the row of a policy with a budget and a seed in the results: spend what its folder has not spent yet."""
    if any((row["policy"], row["budget"], row["seed"]) == (name, budget, seed) for row in read(out / ROWS)):
        return
    folder = work / f"{name}-{budget:g}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    row = {"policy": name, "budget": budget, "seed": seed} | outcome_of(study, name, budget, seed, folder)
    with (out / ROWS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    if name == "spend":
        shutil.copy(folder / DECISIONS, out / f"decisions-{budget:g}-{seed}.jsonl")
    sys.stderr.write(f"{name} {budget:g} {seed}: {row.get('loss')}\n")


def outcome_of(study: Study, name: str, budget: float, seed: int, folder: Path) -> Row:
    """Spend a budget by a policy, and say what came of it; only why, where its final run diverged."""
    prepared = prepare(study, find_means(budget), Caps(seed=seed))
    try:
        spent = spend_budget(
            prepared.allocation, study, folder / STORE, folder, policy(name, prepared), max_queries=None
        )
    except RunError as error:
        return {"error": str(error)}
    return row_of(spent)


def policy(name: str, prepared: Prepared) -> Policy:
    """A policy of `POLICIES` for a budget."""
    if name == "spend":
        return prepared.decide
    scripts: dict[str, Callable[[Allocation], Script]] = {
        "asha": partial(asha, bracket=ASHA[nearest_tuned(times(prepared.allocation))]),
        "largest": largest_of_100_steps,
        "retriever": whole_retriever,
    }
    return seeded(policy_of(scripts[name]))


def times(allocation: Allocation) -> float:
    """The budget in cheapest useful runs, as simulated worlds count it."""
    step = allocation.batch_sizes[0] * allocation.tokens_per_pair * min(one.flops_per_token for one in allocation.arms)
    return allocation.budget / (USEFUL_STEPS * step)


def seeded(plain: Policy) -> Policy:
    """A script's policy, whose settings have no seed, with the seed of the allocation for all of its runs.

    It predicts no loss, and a recipe has one: 1 nat, with an interval of no width.
    """

    def decide(allocation: Allocation, measured: Sequence[Measurement]) -> Decision:
        known = tuple(one._replace(purchase=_with_seed(one.purchase, 0)) for one in measured)
        decision = plain(allocation, known)
        bought = tuple(_with_seed(one, allocation.seed) for one in decision.purchases)
        said = {"best": _of_seed(decision.best, allocation.seed), "expected_loss": 1.0, "interval": (1.0, 1.0)}
        return decision.model_copy(update={"purchases": bought} | said)

    return decide


def _with_seed(purchase: Purchase, seed: int) -> Purchase:
    return purchase.model_copy(update={"setting": _of_seed(purchase.setting, seed)})


def _of_seed(setting: Setting, seed: int) -> Setting:
    return setting.model_copy(update={"seed": seed})


def row_of(spent: SpentBudget) -> dict[str, Any]:
    """What came of a budget.

    Raises:
        AssertionError: the policy spent more than it had.
    """
    total = sum(one.purchase.cost for one, _ in spent.outcomes)
    search = [one for one, _ in spent.outcomes if one.purchase.purpose == "search"]
    assert total <= spent.allocation.budget * (1 + ROUNDING), f"{total:g} of {spent.allocation.budget:g} FLOP spent"
    record, last = spent.record, spent.decisions[-1]
    low, high = last.interval
    return {
        "spent": total,
        "searched": sum(one.purchase.cost for one in search) / spent.allocation.budget,
        "runs": len(search),
        "unfinished": sum(one.status != "done" for one in search),
        "choice": f"{record.config.model} {record.config.method}",
        "loss": record.loss,
        "ndcg": record.ndcg,
        "expected": last.expected_loss if low < high else None,
        "interval": [low, high] if low < high else None,
        "better_start": None if spent.untrained is None else spent.untrained.model,
        "seconds": sum((one.seconds or 0.0) * one.own_share for _, one in spent.outcomes),
        "record": record.model_dump(mode="json", exclude_none=True),
    }


if __name__ == "__main__":
    main()
