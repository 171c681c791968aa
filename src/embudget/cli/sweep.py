"""`embudget sweep`: run a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from embudget.study import Plan


def command(
    study: Annotated[Path, typer.Argument(help="YAML: suite or members, methods, budgets, pairs, ...")],
    store: Annotated[str, typer.Option(help="SQLite file or SQLAlchemy URL for the records.")] = "study.db",
    workers: Annotated[int, typer.Option(help="Local processes; they share the cores.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and what is left out; train nothing.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed runs again.")] = False,
    verbose: Verbose = False,
) -> None:
    """Train the runs of a study that have no record yet; interrupted, it goes on.

    \b
    Examples: embudget sweep study.yaml --dry-run
              embudget sweep study.yaml --store study.db
    """  # noqa: D301
    from embudget.cli.sweep_bar import SweepBar, label
    from embudget.pairs import load_pairs
    from embudget.study import Store, Study, plan, sweep

    spec = Study.from_yaml(study)
    if dry_run:
        there = Store(store, create=False).records() if "://" in store or Path(store).exists() else []
        typer.echo(describe(plan(spec, load_pairs(spec.pairs), there), {record.id for record in there}))
        return
    with Store(store) as opened, SweepBar() as bar:
        records = sweep(spec, opened, workers, bar, retry_failed)
    failed = [record for record in records if record.status == "failed"]
    for record in failed:
        typer.echo(f"failed: {label(record.config)}: {record.error}")
    held = f", {bar.runs - len(records)} held by another sweep" if bar.runs > len(records) else ""
    again = "; --retry-failed does them again" if failed else ""
    typer.echo(f"{store}: {len(records) - len(failed)} runs done, {len(failed)} failed{again}{held}")
    typer.echo(f"next: embudget fit {store}")


def describe(plan: "Plan", done: set[str]) -> str:
    """The plan as a table, with what is left out and the totals."""
    from embudget.cli.console import table
    from embudget.cli.sweep_bar import label
    from embudget.report.formats import duration

    rows = [
        [
            run.config.model,
            run.config.method,
            f"{run.config.train_flops:.3g}",
            str(run.config.batch_size),
            f"{run.config.learning_rate:g}",
            str(run.config.seed),
            f"{run.tokens:,.0f}",
            f"{run.steps:,.0f}",
            "done" if run.config.id in done else duration(run.seconds),
        ]
        for run in plan.runs
    ]
    headers = ["member", "method", "FLOP", "batch", "rate", "seed", "tokens", "steps", "time"]
    missing = [run for run in plan.runs if run.config.id not in done]
    lines = [table(headers, rows)]
    lines += [f"left out: {label(cell.config)}: {cell.reason}" for cell in plan.left_out]
    lines.append(
        f"{len(plan.runs)} runs, {plan.train_flops:.3g} FLOP, {len(plan.left_out)} left out; {len(missing)} to do, "
        f"about {sum(run.seconds for run in missing) / 3600:.2f} hours of training"
    )
    return "\n".join(lines)
