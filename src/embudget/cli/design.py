"""`embudget design`: the study that teaches most about a target within a budget."""

from pathlib import Path
from typing import Annotated, Any

import typer

from embudget.cli.options import Verbose


def command(
    what: Annotated[
        str,
        typer.Argument(metavar="STUDY|SUITE", help="A study in YAML, for its members, methods and pairs; or a suite."),
    ],
    budget: Annotated[str, typer.Option(help="FLOP of all runs of the study together, e.g. 2e16.")],
    target: Annotated[str, typer.Option(help="FLOP of the model that the study is for, e.g. 1e17.")],
    laws: Annotated[str, typer.Option(metavar="NAME|FILE", help="Laws that the design is guessed from.")] = "smollm2",
    out: Annotated[Path | None, typer.Option(help="Write the study as YAML, for `embudget sweep`.")] = None,
    worlds: Annotated[int, typer.Option(min=1, help="Simulated worlds in which each layout is tried.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Design the study that teaches most about a target, for so much and no more.

    Layouts that the budget pays for are simulated; the one whose recipes lose least is printed, or written by --out.

    \b
    Examples: embudget design pythia --budget 5e15 --target 1e17 --out study.yaml
              embudget design study.yaml --budget 2e14 --target 4e15 --laws laws.json
    """  # noqa: D301
    from embudget.cli.console import counter
    from embudget.contents import STUDY
    from embudget.design import design
    from embudget.laws import find_laws
    from embudget.outputs import check_file_output

    if out is not None:
        check_file_output(out, STUDY, (what, laws))
    asked = _asked(what)
    with counter("simulating layouts") as update:
        found = design(
            find_laws(laws), target, budget, worlds=worlds, seed=seed,
            progress=lambda done, of: update(f"study of {of}:", done), **asked,
        )  # fmt: skip
    if out is not None:
        found.save(out)
    typer.echo(found.model_dump_json(indent=2) if json else str(found))
    if not json:
        typer.echo(
            "next: --out FILE writes the study for `embudget sweep`"
            if out is None
            else f"{out}: next: set its pairs, then embudget sweep {out} --store pilot.db"
        )


def _asked(what: str) -> dict[str, Any]:
    """What a study's file says of members, methods and pairs; of a suite its name."""
    from embudget.contents import STUDY, contents_of
    from embudget.study import Study

    if not (Path(what).is_file() and contents_of(Path(what)) == STUDY):  # a YAML file may list members too
        return {"suite": what}
    study = Study.from_yaml(what)
    models = {"suite": study.suite} if study.suite else {"members": study.members}
    return {**models, "methods": study.methods, "pairs": study.pairs}
