"""How far can a held-out loss be trusted? Choices of the published studies, measured on two disjoint held-out sets.

    .venv/bin/python -m benchmarks.yardstick --pairs quickstart/pairs --out results/yardstick

Each study gives choices at one budget (settings of member, method and rate, taken evenly from the best loss to the
worst), which are trained again, a few of them with more seeds. Each model is measured on the validation pairs, as every
run is, and on the test pairs, which are held out in the same way and share no group with them. Records come into
`{out}/records.jsonl` and `{out}/second.jsonl` one by one; what is there is not done again. `{out}/yardstick.json` holds

    published   of the studies' own records: the noise of seeds, and what a rate next to the best one costs
    measured    Kendall's tau of the two rankings, over all choices and over the better half; the standard errors of
                losses and of paired differences; how often two sets' differences are as far apart as their errors say;
                the noise of seeds, and the part of it that differs between groups

`--no-training` makes it anew from the records that are there. About 25 minutes of two idle cores of an AMD EPYC.
"""

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.yardstick_errors import measured_errors, published_errors
from embudget.errors import DivergedError
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig, RunRecord
from studies.publish.files import read_lines, save_json, write_lines

STUDIES = ("results/micro@6e11=20", "results/smollm2@2e12=8")
OTHER_SEEDS = (1,)
OF_THE_PAIRS = ("pairs", "yardstick", "eval_pairs", "eval_candidates", "weights")
"""What a run is not to take over from the published one."""


class Part(NamedTuple):
    """Some choices of a published study at one budget."""

    folder: Path
    budget: float
    choices: int

    @classmethod
    def of(cls, text: str) -> "Part":
        """Read results/smollm2@2e12=20: 20 choices of that study at 2e12 FLOP."""
        folder, _, rest = text.rpartition("@")
        budget, _, choices = rest.partition("=")
        return cls(Path(folder), float(budget), int(choices))


def main() -> None:
    """Train and measure what is missing, then write what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--study", action="append", help=f"FOLDER@BUDGET=CHOICES, by default {' and '.join(STUDIES)}")
    parser.add_argument("--seeds", type=int, nargs="*", default=OTHER_SEEDS, help="more seeds of three choices a study")
    parser.add_argument("--budget-scale", type=float, default=1.0, help="below 1 for a trial")
    parser.add_argument("--eval-pairs", type=int, help="by default as many as a run is measured on")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    parts = [Part.of(text) for text in options.study or STUDIES]
    published = {part.folder.name: read_lines(part.folder / "records.jsonl") for part in parts}
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.no_training:
        pairs = load_pairs(options.pairs)
        for part in parts:
            configs = chosen(published[part.folder.name], part)
            configs = with_seeds([on_pairs(one, pairs, options) for one in configs], options.seeds)
            measure(configs, pairs, options.out)
    first, second = records_of(options.out)
    result = {
        "command": shlex.join([".venv/bin/python", *sys.orig_argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "published": {name: published_errors(records) for name, records in published.items()},
        "measured": {
            name: found
            for name, records in published.items()
            if (found := measured_errors(*of_study({run.config.model for run in records}, first, second))) is not None
        },
    }
    save_json(options.out / "yardstick.json", result)


def chosen(records: Sequence[RunRecord], part: Part) -> list[RunConfig]:
    """The settings of a study at one budget, first seeds, evenly from the lowest loss to the highest."""
    lowest: dict[RunConfig, RunRecord] = {}
    for record in records:
        if record.config.train_flops == part.budget and record.loss is not None:
            lowest.setdefault(record.config.model_copy(update={"seed": 0}), record)
    ranked = sorted(lowest.values(), key=lambda record: record.loss or 0.0)
    if not ranked:
        sys.exit(f"{part.folder} has no runs at {part.budget:g} FLOP")
    count = min(part.choices, len(ranked))
    places = [round(k * (len(ranked) - 1) / max(1, count - 1)) for k in range(count)]
    return [ranked[place].config.model_copy(update={"seed": 0}) for place in places]


def on_pairs(config: RunConfig, pairs: Pairs, options: argparse.Namespace) -> RunConfig:
    """The same run on these pairs, measured as new runs are; both held-out splits must hold what it is measured on."""
    values = {name: value for name, value in config.model_dump().items() if name not in OF_THE_PAIRS}
    fields = RunConfig.model_fields
    there = min(pairs.rows("validation"), pairs.rows("test"), options.eval_pairs or fields["eval_pairs"].default)
    candidates = min(there, fields["eval_candidates"].default)
    asked = {"eval_candidates": candidates, "eval_pairs": there // candidates * candidates, "pairs": pairs.hash}
    values["train_flops"] *= options.budget_scale
    return RunConfig.read(values | asked, "")


def with_seeds(configs: Sequence[RunConfig], seeds: Iterable[int]) -> list[RunConfig]:
    """The choices, and the first, the middle and the last of them with more seeds."""
    places = sorted({0, len(configs) // 2, len(configs) - 1})
    more = [configs[place].model_copy(update={"seed": seed}) for seed in seeds for place in places]
    return [*configs, *more]


def measure(configs: Sequence[RunConfig], pairs: Pairs, out: Path) -> None:
    """Train what has no records yet and measure it on both held-out sets; write its records."""
    from embudget.training.heldout import held_out
    from embudget.training.run import train

    other = swapped(pairs)
    for number, config in enumerate(configs, 1):
        first, second = records_of(out)
        if config.id in {record.id for record in first}:
            continue
        say(f"{number} of {len(configs)}: {config.model} {config.method} {config.learning_rate:g} seed {config.seed}")
        try:
            model, record = train(config, pairs, with_record=True)
        except DivergedError as error:
            say(f"  diverged: {error}")
            continue
        there = held_out(model, other, config.eval_pairs, config.eval_candidates, config.scale)
        moved = {"config": config.model_copy(update={"pairs": other.hash})}
        measured = record.model_copy(update=moved | there._asdict())
        write_lines(out / "second.jsonl", [*(one for one in second if one.id != measured.id), measured])
        write_lines(out / "records.jsonl", [*first, record])  # last: a run in it is in both
        say(f"  loss {record.loss:.4f}, on the other set {there.loss:.4f}")


def swapped(pairs: Pairs) -> Pairs:
    """The same pairs with the test split as the one that models are measured on, under a hash of its own."""
    splits = pairs.info.splits
    swap = {"validation": splits["test"], "test": splits["validation"]}
    return Pairs(pairs.folder, pairs.info.model_copy(update={"splits": {**splits, **swap}, "hash": pairs.hash[::-1]}))


def records_of(out: Path) -> tuple[list[RunRecord], list[RunRecord]]:
    """The records on either held-out set; none where nothing was measured yet."""
    paths = (out / "records.jsonl", out / "second.jsonl")
    first, second = (read_lines(path) if path.exists() else [] for path in paths)
    return first, second


def of_study(
    members: set[str], first: Sequence[RunRecord], second: Sequence[RunRecord]
) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs of one study's members that have both records, in the same order."""
    by_run = {same_run(record): record for record in second}
    both = [record for record in first if record.config.model in members and same_run(record) in by_run]
    return both, [by_run[same_run(record)] for record in both]


def same_run(record: RunRecord) -> RunConfig:
    """What is the same of a run's two records."""
    return record.config.model_copy(update={"pairs": ""})


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
