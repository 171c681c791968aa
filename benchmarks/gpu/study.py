"""A study of the largest size that fits the time: every member and method, at three budgets a factor of 3 apart.

    python -m benchmarks.gpu.study --seconds 150 --out results/gpu

The probe of `embudget spend` times this device, and the budgets are the largest ones with which the study is expected
to take its share of the time. So OUT/study.json also shows how good that expectation was, and how much of the device
a whole study uses, the loading and the measuring of its models included. The records are in OUT/study.db as they come.
The models have random weights: the losses say that training works on this device, not which model is best.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu.device import device_name, published_peak
from benchmarks.gpu.material import installed_pairs, random_model
from embudget.errors import EmbudgetError
from embudget.files import write_whole
from embudget.laws import fit
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.records import RunRecord
from embudget.spending.study_outlook import study_outlook
from embudget.study import Plan, Study, plan, sweep
from embudget.suite import find_shape
from embudget.training.job import lengths_of

APART = 3.0
"""Factor between the three budgets."""
EPOCHS = 20
"""Passes over the pairs that a run may take: docstrings of a machine are few, and their repetition does not matter."""
SHARE = 0.75
"""Share of the time that the study may be expected to take; the rest is for starting it and for error."""
TRIES = 6
"""Budgets that are tried, each by what the one before would have taken."""


class Sized(NamedTuple):
    """A study and what is expected of it."""

    study: Study
    planned: Plan
    seconds: float


def main() -> None:
    """Size the study, run it, and write down how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["pythia-14m", "pythia-31m", "pythia-70m", "pythia-160m"])
    parser.add_argument("--methods", nargs="+", default=["full", "freeze:0.5", "lora:32"])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--most", type=float, default=math.inf, help="FLOP, the largest budget that is considered")
    parser.add_argument("--packages", nargs="+", help="whose docstrings are the pairs; by default all of the source's")
    parser.add_argument("--work", type=Path, help="folder of models and pairs, kept for other parts")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    ended = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        pairs = installed_pairs(work / "pairs", *([tuple(options.packages)] if options.packages else []))
        members = tuple(random_model(name, work) for name in options.models)
        given = Study(
            members=members, methods=tuple(options.methods), budgets=(1.0,), pairs=str(pairs.folder),
            batch_size=options.batch_size, max_epochs=EPOCHS,
        )  # fmt: skip
        sized = largest(given, pairs, ended, options.most)
        result = facts(sized)
        write_whole(options.out / "study.json", json.dumps(result, indent=1) + "\n")
        started = time.monotonic()
        records = sweep(sized.study, options.out / "study.db")
        result |= outcome(records, time.monotonic() - started)
        write_whole(options.out / "study.json", json.dumps(result, indent=1) + "\n")
        sys.stdout.write(json.dumps(result) + "\n")


def largest(study: Study, pairs: Pairs, ended: float, most: float = math.inf) -> Sized:
    """The study with the largest budgets with which it is expected to end in time.

    The budgets are no larger than that every member has pairs enough for the lowest of them.

    Args:
        study: whose budgets are to be found.
        pairs: its text pairs.
        ended: when it should have ended, by the monotonic clock; the device is timed within it.
        most: FLOP, which no budget is above.

    Raises:
        RuntimeError: no budgets were found in a few tries.
    """
    shapes = [find_shape(name) for name in study.members]
    least = min(parse_method(text).flops_per_token(shape) for shape in shapes for text in study.methods)
    length = lengths_of(study.configs(pairs)[0], pairs).tokens_per_pair
    batches = pairs.rows("train") // study.batch_at(1.0)
    top = min(most, 0.99 * APART**2 * least * length * batches * study.batch_at(1.0) * study.max_epochs)
    for attempt in range(TRIES):
        tried = study.model_copy(update={"budgets": tuple(float(f"{top / APART**power:.3g}") for power in (2, 1, 0))})
        outlook = study_outlook(tried, pairs, refresh=attempt == 0)
        other, seconds = outlook.other_seconds or 0.0, SHARE * (ended - time.monotonic())
        if outlook.training_seconds + other <= seconds:
            return Sized(tried, plan(tried, pairs), outlook.training_seconds + other)
        if other >= seconds:
            raise RuntimeError(f"loading and measuring the models would take {other:.0f} of the {seconds:.0f} s left")
        top *= 0.95 * (seconds - other) / outlook.training_seconds
    raise RuntimeError(f"no budgets were found that end in time, the last study takes {outlook.training_seconds:.0f} s")


def facts(sized: Sized) -> dict[str, Any]:
    """What the study is, before it is run."""
    study = sized.study
    return {
        "device": device_name(),
        "date": datetime.now(UTC).date().isoformat(),
        "models": [Path(name).name for name in study.members],
        "methods": list(study.methods),
        "budgets": [float(f"{budget:.3g}") for budget in study.budgets],
        "batch_size": study.batch_size,
        "runs": len(sized.planned.runs),
        "left_out": [f"{left.config.model} {left.config.method}: {left.reason}" for left in sized.planned.left_out],
        "train_flops": sized.planned.train_flops,
        "expected_seconds": round(sized.seconds, 1),
    }


def outcome(records: list[RunRecord], seconds: float) -> dict[str, Any]:
    """How the study went: its time, what it used of the device, and whether laws come out of it."""
    own = sum((record.train_flops or 0.0) - (record.shared_flops or 0.0) for record in records)
    peak = published_peak(device_name())
    statuses = [record.status for record in records]
    try:
        laws = fit(records).summary()
    except EmbudgetError as error:
        laws = f"none: {error}"
    return {
        "seconds": round(seconds, 1),
        "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
        "errors": sorted({record.error for record in records if record.error and record.status == "failed"}),
        "tflops_per_second": own / seconds / 1e12,
        "mfu_of_study": None if peak is None else own / seconds / peak,
        "best": best_of(records),
        "laws": str(laws),
    }


def best_of(records: list[RunRecord]) -> dict[str, str]:
    """The lowest held-out loss at each budget, and whose it is."""
    found: dict[str, str] = {}
    for record in sorted(records, key=lambda record: (record.config.train_flops, record.loss or float("inf"))):
        if record.loss is not None:
            text = f"{record.loss:.4f} nats, {Path(record.config.model).name} {record.config.method}"
            found.setdefault(f"{record.config.train_flops:.3g}", text)
    return found


if __name__ == "__main__":
    main()
