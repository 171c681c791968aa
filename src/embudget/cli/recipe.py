"""`embudget recipe`: the answer for one budget, or for a range of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from embudget.cli.options import Budget, Device, Dollars, DollarsPerHour, GpuHours, Hours, Mfu, Verbose

if TYPE_CHECKING:
    from embudget.errors import UnsupportedError
    from embudget.laws import Laws
    from embudget.recipe import CurvePoint, Recipe


def command(
    laws: Annotated[
        str | None, typer.Argument(help="File written by `embudget fit`, or the name of built-in laws.")
    ] = None,
    named_laws: Annotated[
        str | None, typer.Option("--laws", metavar="NAME|FILE", help="The same as the argument: give one of the two.")
    ] = None,
    budget: Budget = None,
    hours: Hours = None,
    gpu_hours: GpuHours = None,
    dollars: Dollars = None,
    device: Device = None,
    mfu: Mfu = None,
    dollars_per_hour: DollarsPerHour = None,
    curve: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Recipes for a range of budgets in FLOP instead of one.")
    ] = None,
    points_per_decade: Annotated[
        int | None, typer.Option(min=1, help="With --curve: budgets in each factor of ten; 4 by default.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Models to choose from: built-in suites, folders of models, or YAML files that list members; several "
            "with commas, as smollm2,family.yaml. By default the measured members and every built-in suite that holds "
            "them all, with its members that were never run."
        ),
    ] = None,
    max_params: Annotated[
        float | None, typer.Option(help="Reject models with more parameters, embeddings not counted, e.g. 2e8.")
    ] = None,
    pairs_available: Annotated[
        int | None, typer.Option(min=1, help="Training pairs that you have: choices stop at --max-epochs passes.")
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most passes over the pairs; by default as many as help, or with --pairs-available those of the "
            "nearest measured run.",
        ),
    ] = None,
    device_memory: Annotated[
        str | None,
        typer.Option(help="Memory of the device, e.g. 24GB: reject choices whose training needs more than 90 % of it."),
    ] = None,
    serve_tokens: Annotated[
        float | None,
        typer.Option(help="Tokens that the model will embed in its life, e.g. 1e12: the budget pays 2N FLOP for each."),
    ] = None,
    prefer: Annotated[
        str,
        typer.Option(
            metavar="loss|small|fast",
            help="Of the choices that cannot be told apart, take that of the lowest loss, the smallest or the fastest.",
        ),
    ] = "loss",
    min_steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Reject choices with fewer optimiser steps; by default the fewest that were measured."
        ),
    ] = None,
    allow_unmeasured_sizes: Annotated[
        bool, typer.Option("--allow-unmeasured-sizes", help="Also consider models far from the measured sizes.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Show the far recipe where the runs support none, instead of a pilot.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the recipe as YAML for `embudget train`, or the pilot study for `embudget sweep`. With "
            "--curve: its folder, curve/ by default."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    verbose: Verbose = False,
) -> None:
    """Say what to train with a budget.

    The recipe names model, method, data and hyperparameters, and the loss to expect. Give the laws (a file of
    `embudget fit`, or built-in ones: smollm2, micro) and one budget: --budget, --hours, --gpu-hours or
    --dollars. Hours count at the speeds of the measured runs, so that a slow choice gets fewer FLOP out of them. The
    other options narrow the choice; if nothing is left, the error names the constraint that failed and the nearest
    budget at which it would hold.

    Over 16 times outside the measured budgets, or for a family of which no member was measured, the runs support no
    recipe. The answer is then the pilot study that would. It costs 5 or 6 % of the budget, or more where the models are
    large for it, and takes seconds to simulate.

    \b
    Examples: embudget recipe laws.json --budget 4e13 --out recipe.yaml
              embudget recipe laws.json --gpu-hours 8 --device h100 --device-memory 80GB
              embudget recipe laws.json --hours 8
              embudget recipe laws.json --budget 1e19 --serve-tokens 1e12 --prefer small
              embudget recipe laws.json --budget 4e13 --pairs-available 50000
              embudget recipe laws.json --curve 1e15:1e19 --out curve/
              embudget recipe --laws smollm2 --budget 4e13
              embudget recipe --laws smollm2 --budget 1e17 --suite pythia --out pilot.yaml
    """  # noqa: D301
    from embudget.errors import ConfigError, UnsupportedError
    from embudget.laws import describe_origin, find_laws
    from embudget.recipe import Wishes, recipe_curve, recommend
    from embudget.recipe.curve import POINTS_PER_DECADE, parse_curve
    from embudget.report import check_curve_folder

    wanted = _one_of(laws, named_laws)
    wishes = Wishes(
        max_params=max_params,
        pairs_available=pairs_available,
        max_epochs=max_epochs,
        device_memory=device_memory,
        serve_tokens=serve_tokens,
        prefer=cast(Any, prefer),
        min_steps=min_steps,
        allow_unmeasured_sizes=allow_unmeasured_sizes,
        force=force,
    )
    if curve is not None:
        if any(option is not None for option in (budget, hours, gpu_hours, dollars, device, mfu, dollars_per_hour)):
            raise ConfigError("give either --curve or one budget, not both")
        low, high = parse_curve(curve)
        if out is None and not json:
            out = Path("curve")
        if out is not None:
            check_curve_folder(out, (wanted, suite))
        read = find_laws(wanted)
        every = points_per_decade or POINTS_PER_DECADE
        points = recipe_curve(read, low, high, points_per_decade=every, suite=suite, **wishes)
        _show_curve(points, read, describe_origin(wanted, read), out, json)
        return
    if points_per_decade is not None:
        raise ConfigError("--points-per-decade goes with --curve")
    if out is not None:
        _check_out(out, (wanted, suite))
    read = find_laws(wanted)
    asked: dict[str, Any] = {"budget": budget, "hours": hours, "gpu_hours": gpu_hours, "dollars": dollars}
    asked |= {"device": device, "mfu": mfu}
    asked |= {"dollars_per_hour": dollars_per_hour, "suite": suite} | cast(dict[str, Any], wishes)
    try:
        recipe = recommend(read, **asked)
    except UnsupportedError as refusal:
        _show_pilot(refusal, read, asked, describe_origin(wanted, read), out, json)
    else:
        _show(recipe, describe_origin(wanted, read), out, json)


def _check_out(out: Path, inputs: "tuple[str | None, ...]") -> None:
    """Refuse a file that may hold neither the recipe nor the pilot study, before anything is computed."""
    from embudget.contents import RECIPE, STUDY
    from embudget.errors import ConfigError
    from embudget.outputs import check_file_output

    try:
        check_file_output(out, RECIPE, inputs)
    except ConfigError as error:
        try:
            check_file_output(out, STUDY, inputs)
        except ConfigError:
            raise error from None


def _one_of(laws: str | None, named: str | None) -> str:
    """The laws, given in one of two ways."""
    from embudget.errors import ConfigError

    if laws is not None and named is not None:
        raise ConfigError(f"give the laws either as the argument or by --laws, not both, got {laws} and {named}")
    wanted = named if laws is None else laws
    if wanted is None:
        raise ConfigError("give the laws, a file or the name of built-in ones, as the argument or by --laws")
    return wanted


def _show(recipe: "Recipe", origin: str | None, out: Path | None, json: bool) -> None:
    if out is not None:
        recipe.save(out)
    typer.echo(recipe.model_dump_json(indent=2) if json else str(recipe))
    if origin is not None and not json:
        typer.echo(f"  laws      {origin}")
    if out is not None and not json:
        if recipe.untrained is None:
            typer.echo(f"{out}: next: embudget train {out} --pairs DIR --out model/")
        else:
            name = recipe.untrained.model
            typer.echo(f"{out}: next: embudget export {name} --to sentence-transformers --out model/")


def _show_pilot(
    refusal: "UnsupportedError", laws: "Laws", asked: dict[str, Any], origin: str | None, out: Path | None, json: bool
) -> None:
    """Plan and show the study that would support a recipe, where the laws' runs do not."""
    from json import dumps

    from embudget.cli.console import counter
    from embudget.contents import STUDY
    from embudget.design import pilot
    from embudget.errors import InfeasibleError
    from embudget.outputs import check_file_output

    if out is not None:
        check_file_output(out, STUDY)
    try:
        with counter("simulating the pilot study") as update:
            found = pilot(laws, **asked, progress=lambda done: update("world", done))
    except InfeasibleError as error:
        raise InfeasibleError(f"{refusal.reason}; {error}, or give --force") from None
    if out is not None:
        found.save(out)
    if json:
        typer.echo(dumps({"supported": False, "pilot": found.model_dump(mode="json")}, indent=2))
        return
    typer.echo(str(found))
    if origin is not None:
        typer.echo(f"  laws      {origin}")
    if out is None:
        typer.echo("next: --out FILE writes the study for `embudget sweep`; --force shows the far recipe all the same")
    else:
        store = "THEIR_STORE, that of the measured runs" if found.measured else "pilot.db"
        typer.echo(f"{out}: next: set its pairs, then embudget sweep {out} --store {store}")


def _show_curve(
    points: "tuple[CurvePoint, ...]", laws: "Laws", origin: str | None, out: Path | None, json: bool
) -> None:
    from json import dumps

    from embudget.recipe import curve_warnings
    from embudget.report import write_curve

    if out is not None:
        write_curve(out, points, laws)
    if json:
        typer.echo(dumps([point.model_dump(mode="json") for point in points], indent=2))
        return
    for point in points:
        typer.echo(str(point))
    for warning in curve_warnings(points):
        typer.echo(f"warning   {warning}")
    if origin is not None:
        typer.echo(f"laws      {origin}")
    if out is not None:
        typer.echo(f"{out}: curve.json, curve.csv and {out / 'curve.html'}, to open in a browser")
