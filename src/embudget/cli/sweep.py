"""`embudget sweep`: run a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.crew_options import Ray, RayResources, Slurm, crew_of
from embudget.cli.live_page import Report, check_page, kept_up_to_date
from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from embudget.cli.sweep_bar import SweepBar
    from embudget.records import RunRecord
    from embudget.study import Plan, Study


def command(
    study: Annotated[Path, typer.Argument(help="YAML: suite or members, methods, budgets, pairs, ...")],
    store: Annotated[
        str,
        typer.Option(
            envvar="EMBUDGET_STORE",
            help="Where records are kept: a SQLite file or a SQLAlchemy URL; EMBUDGET_STORE hides passwords.",
        ),
    ] = "study.db",
    workers: Annotated[
        int,
        typer.Option(
            help="Local processes, which share the cores or take a GPU each; with --slurm or --ray, workers there."
        ),
    ] = 1,
    slurm: Slurm = None,
    ray: Ray = None,
    ray_options: RayResources = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Where checkpoints of interrupted runs are kept, such as s3://bucket/folder; by default "
            "STORE.checkpoints beside a SQLite file. With another database and none given such runs start anew.",
        ),
    ] = None,
    checkpoint_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Minutes between the checkpoints of a run; by default a share of the run."),
    ] = None,
    report: Report = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and what is left out; train nothing.")
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Do failed runs again; diverged ones, and those without a gain, would end as before."
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Train the runs of a study that have no record yet.

    Each run's record is kept as it ends. Interrupted, the same command goes on; a study may grow, too.

    Exit code 1: a run failed, or a member was left out. A run fails if its worker was lost three times without progress
    in between, or if it could not be done.
    Runs that diverged are results, and no failure.

    \b
    Examples: embudget sweep study.yaml --dry-run
              embudget sweep study.yaml --store study.db --report report.html
              embudget sweep study.yaml --store postgresql://me@db/study --workers 16 --slurm gpus=1,time=4h
    """  # noqa: D301
    from embudget.cli.store_view import StoreView
    from embudget.cli.sweep_bar import SweepBar
    from embudget.errors import ConfigError
    from embudget.outputs import store_places
    from embudget.pairs import load_pairs
    from embudget.remote import is_url
    from embudget.study import Store, Study, plan, sweep
    from embudget.study.location import Location

    if workers < 1:
        raise ConfigError(f"workers must be >= 1, got {workers}")
    executor = crew_of(slurm, ray, ray_options, study.with_suffix(".slurm"))
    spec = Study.from_yaml(study)
    if checkpoints is not None and not is_url(checkpoints):
        _check_checkpoints(Path(checkpoints), study, spec, store)
    made = *store_places(store), *(() if checkpoints is None or is_url(checkpoints) else (Path(checkpoints),))
    check_page(report, (study, spec.pairs, spec.suite, *made), (*made, study.with_suffix(".slurm")))
    if not dry_run:
        Location(store).check_file(create=True)  # before lengths are measured, which are kept beside the pairs
    pairs = load_pairs(spec.pairs)
    if dry_run:
        there = []
        if "://" in store or Path(store).exists():
            with Store(store, create=False) as opened:
                there = opened.records()
        typer.echo(describe(spec, plan(spec, pairs, there), {record.id for record in there}))
        return
    if not (planned := plan(spec, pairs)).runs:  # before there is a store for it
        raise ConfigError(f"no run of the study is worth doing: {planned.left_out[0].reason}")
    view = StoreView(store, workers if executor is None else None)
    with Store(store) as opened, SweepBar(view) as bar, kept_up_to_date(report, opened.address):
        shown = opened.location
        every = None if checkpoint_minutes is None else 60 * checkpoint_minutes
        records = sweep(spec, opened, workers, bar, retry_failed, checkpoints, every, executor)
    typer.echo("\n".join(_ending(records, bar, shown)))
    if bar.refused or any(record.status == "failed" for record in records):
        raise typer.Exit(1)


def _ending(records: "list[RunRecord]", bar: "SweepBar", shown: str) -> list[str]:
    """What a sweep came to: the runs that do not count, those that did not help, how many of each, what comes next."""
    from embudget.cli.sweep_bar import doubts, label, outcome

    held = f", {bar.runs - len(records)} held by another sweep" if bar.runs > len(records) else ""
    return [
        *(f"{label(record.config)}: {outcome(record)}" for record in records if record.status != "done"),
        *doubts(records),
        f"{shown}: {_counts(records)}{held}",
        *(f"left out: {name}: {reason}" for name, reason in bar.refused.items()),
        f"next: embudget fit {shown}",
    ]


def _check_checkpoints(checkpoints: Path, file: Path, study: "Study", store: str) -> None:
    """Refuse a folder for checkpoints that would overwrite something.

    Raises:
        ConfigError: it is a file, or an input of the sweep, or lies in one.
    """
    from embudget.errors import ConfigError
    from embudget.outputs import check_apart, store_places
    from embudget.suite.members import local_folder, split_depth

    folders = (local_folder(split_depth(member)[0]) for member in study.members)
    files = (place for place in store_places(store) if place.suffix != ".checkpoints")
    check_apart(checkpoints, (file, study.pairs, study.suite, *files, *folders))
    if checkpoints.exists() and not checkpoints.is_dir():
        raise ConfigError(f"--checkpoints must be a folder, got the file {checkpoints}")


def _counts(records: "list[RunRecord]") -> str:
    """How many runs ended how."""
    from collections import Counter

    by_status = Counter(record.status for record in records)
    again = "; --retry-failed does them again" if by_status["failed"] else ""
    diverged = f", {by_status['diverged']} diverged" if by_status["diverged"] else ""
    no_gain = f", {by_status['no_gain']} no better than chance" if by_status["no_gain"] else ""
    return f"{by_status['done']} runs done{no_gain}{diverged}, {by_status['failed']} failed{again}"


def describe(study: "Study", plan: "Plan", done: set[str]) -> str:
    """The plan as a table, with what is left out, the totals and what trunks save."""
    from embudget.cli.console import table
    from embudget.cli.sweep_bar import label
    from embudget.duration import duration
    from embudget.records import differing

    missing = plan.without(done)
    seconds = {run.config.id: run.seconds for run in missing.runs}
    also = [name for name in differing(run.config for run in plan.runs) if name != "batch_size"]
    rows = []
    for run in plan.runs:
        config = run.config
        time = duration(seconds[config.id]) if config.id in seconds else "done"
        rows.append([
            config.model, config.method, f"{config.train_flops:.3g}", str(config.batch_size),
            f"{config.learning_rate:g}", str(config.seed), *(str(getattr(config, name)) for name in also),
            f"{run.tokens:,.0f}", f"{run.steps:,.0f}", time,
        ])  # fmt: skip
    headers = ["member", "method", "FLOP", "batch", "rate", "seed", *also, "tokens", "steps", "time"]
    lines = [table(headers, rows)]
    lines += [f"left out: {name}: {reason}" for name, reason in plan.refused.items()]
    lines += [f"left out: {label(run.config)}: {run.reason}" for run in plan.left_out]
    lines.append(
        f"{len(plan.runs)} runs, {plan.train_flops:.3g} FLOP, {len(plan.left_out)} left out; {len(missing.runs)} to "
        f"do, about {duration(missing.seconds)} of training"
    )
    return "\n".join(lines + _attention(plan) + _savings(study, plan))


def _attention(plan: "Plan") -> list[str]:
    """A line on what attention adds to the run where it adds most, if it is much."""
    from embudget.flops import say_attention

    if not plan.runs:
        return []
    most = max(plan.runs, key=lambda run: run.attention)
    where = f"of {most.config.model} {most.config.method}, the most of all runs, at texts of up to "
    return say_attention(most.attention, f"{where}{most.config.max_length:,} tokens")


def _savings(study: "Study", plan: "Plan") -> list[str]:
    """Lines on what trunks, each for all budgets of a setting, save or would save."""
    from embudget.study import BatchRule

    spent = plan.train_flops
    if not spent or len({run.config.train_flops for run in plan.runs}) < 2:
        return []
    if study.schedule == "cosine":
        trunks = plan.flops_by_trunks(study.decay)
        return [f"with schedule: wsd they would take {trunks:.3g} FLOP, {spent / trunks:.2f} times less"]
    alone = plan.separate_flops
    lines = [f"the same runs one by one would take {alone:.3g} FLOP, {alone / spent:.2f} times as much"]
    if isinstance(study.batch_size, BatchRule) and len({run.config.batch_size for run in plan.runs}) == 1:
        size, middle = study.batch_at(study.middle), f"{study.middle:.3g} FLOP"
        lines.append(f"one batch size for all budgets: {size} pairs, the rule's at their geometric middle, {middle}")
    return lines
