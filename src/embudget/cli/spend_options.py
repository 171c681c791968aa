"""Options of `embudget spend` that `embudget plan` has too, so that what is planned is what is spent."""

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.errors import ConfigError

if TYPE_CHECKING:
    from embudget.study import Study

Suite = Annotated[
    str,
    typer.Option(
        "--suite",
        help="Models to choose from: built-in suites, folders of models, or YAML files that list members; several "
        "with commas, as smollm2,minilm.",
    ),
]
Methods = Annotated[
    str | None,
    typer.Option(
        "--methods", help="What may train of each: full, freeze:F, bias, lora:R; by default full,freeze:0.5,lora:32."
    ),
]
SearchShare = Annotated[
    float | None,
    typer.Option(
        "--search-share",
        help="Share of the budget for the search, as 0.2; by default as much as it is expected to gain.",
    ),
]
MaxRuns = Annotated[int | None, typer.Option("--max-runs", help="Runs of the search at most.")]
Keep = Annotated[
    int, typer.Option("--keep", help="Final runs, which share what the search left; the best of them is the model.")
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        help="Local processes that train the runs of a round at the same time; with --slurm or --ray, workers there.",
    ),
]
Laws = Annotated[
    list[str] | None,
    typer.Option(
        "--laws",
        metavar="NAME|FILE",
        help="Laws of earlier studies, from which the choice begins; may be given several times.",
    ),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Pairs in a step; by default by the budget.")]
Negatives = Annotated[
    str | None, typer.Option("--negatives", help="Numbers of hard negatives that may be tried, as 0,4; 0 by default.")
]
DeviceMemory = Annotated[
    str | None,
    typer.Option("--device-memory", help="Memory of the device, e.g. 24GB: leave out what does not fit."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the search's draws and of the runs.")]


def searched(suite: str, pairs: str, methods: str | None, batch_size: int | None, negatives: str | None) -> "Study":
    """The study whose settings the search chooses among, by the options as they were typed.

    Raises:
        ConfigError: an option breaks a rule.
    """
    from embudget.spending.prepare import METHODS, study_of

    return study_of(
        suite,
        pairs,
        METHODS if methods is None else tuple(_parts(methods)),
        batch_size,
        None if negatives is None else _whole_numbers(negatives),
    )


def _parts(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",")]


def _whole_numbers(text: str) -> list[int]:
    """Whole numbers between commas.

    Raises:
        ConfigError: one of them is none.
    """
    found = _parts(text)
    if not all(part.isascii() and part.isdigit() for part in found):
        raise ConfigError(f"negatives must be whole numbers with commas, as 0,4, got {text!r}")
    return [int(part) for part in found]


def counted(update: Callable[[str, int], None]) -> Callable[[str], None]:
    """Make a listener that shows what is timed, and how many there were so far."""
    number = count(1)
    return lambda what: update(what, next(number))
