"""`embudget simulate`: records of a known law instead of training."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose

REPEATS = 20


def command(
    world: Annotated[Path, typer.Argument(help="YAML: the true law of every method, models, budgets, noise, ...")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write the simulated records to.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise, of failed runs and of lost ones.")] = 0,
    judge: Annotated[
        str | None,
        typer.Option(metavar="FLOP", help="Judge the design: how well it would know the best choice at this budget."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="With --judge: how many studies are simulated; 20 by default.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="With --judge: the models to choose from; by default the world's suite, or the measured members and "
            "every built-in suite that holds them all, with its members that were never run."
        ),
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=20, help="With --judge: resamples of each study's fit; 100 by default.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Simulate a study, to plan one that tells enough.

    --judge simulates the study many times, fits each, asks for a recipe, and holds it against the truth.

    \b
    A world in YAML; suite: NAME may stand for models. More fields are in
    studies/pythia_world.yaml:
      models: ["smollm2-135m:2", "smollm2-135m:4", "smollm2-135m:8"]
      budgets: [1.0e12, 4.0e12, 1.6e13]    # FLOP
      truth:                               # L = E + A/N^a + B/D^b, nats
        full: {E: 1.0, A: 300, a: 0.35, B: 250, b: 0.4}
        "lora:32": {E: 1.0, A: 330, a: 0.35, B: 300, b: 0.4}
      noise: 0.01                          # relative standard deviation of one run

    \b
    Examples: embudget simulate studies/pythia_world.yaml --out records.csv
              embudget simulate studies/pythia_world.yaml --judge 1e19
    """  # noqa: D301
    from collections import Counter

    from embudget.cli.console import counter
    from embudget.contents import TABLE
    from embudget.design import DRAWS, World, check, planned, simulate
    from embudget.design import judge as judge_design
    from embudget.errors import ConfigError
    from embudget.flops import parse_budget
    from embudget.outputs import check_file_output
    from embudget.runs import write_records_csv

    if out is None and judge is None:
        raise ConfigError("give --out to write records, --judge to judge the design, or both")
    for name, value in {"repeats": repeats, "suite": suite, "draws": draws}.items():
        if judge is None and value is not None:
            raise ConfigError(f"--{name} goes with --judge")
    repeats = REPEATS if repeats is None else repeats
    budget = None if judge is None else parse_budget(judge)
    if out is not None:
        check_file_output(out, TABLE, (world,))
    truth = World.from_yaml(world)
    if budget is not None:
        check(truth, budget, repeats)
    records = simulate(truth, seed) if out is not None else []
    verdict = None
    if budget is not None:
        with counter("judging the design") as update:
            verdict = judge_design(
                truth,
                budget,
                repeats=repeats,
                suite=suite,
                draws=DRAWS if draws is None else draws,
                seed=seed,
                progress=lambda done: update(f"study of {repeats}:", done),
            )
    if out is not None:  # last, so that a command that fails leaves no file
        status = Counter(record.status for record in records)
        runs = planned(truth)
        write_records_csv(records, out)
        typer.echo(f"{out}: {runs} runs: {status['done']} done, {status['failed']} failed, {runs - len(records)} lost")
        typer.echo(f"next: embudget fit {out}")
    if verdict is not None:
        typer.echo(str(verdict))
