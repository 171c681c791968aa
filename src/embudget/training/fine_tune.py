"""Training one model for use: a recipe or a configuration in, a model and its folder out."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.training.resources import Resources
from embudget.training.run import train_run

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.run import OnProgress


class Plans(Protocol):
    """What knows which run it stands for, as a recipe does."""

    def run_config(self, pairs_hash: str, seed: int = 0) -> RunConfig:
        """The run on the pairs with this content hash."""
        ...


def train(
    what: RunConfig | Plans,
    pairs: Pairs,
    out: str | Path | None = None,
    on_progress: "OnProgress | None" = None,
    resources: Resources | None = None,
    report_to: Sequence[str] = (),
) -> "SentenceTransformer":
    """Train a recipe or a configuration, and write the model where ``out`` is given.

    Args:
        what: a recipe, or a configuration.
        pairs: the text pairs.
        out: folder for the model; while it trains, ``{out}.checkpoints`` holds what an interrupted run goes on from.
        on_progress: called after each step with the share of the budget spent and the training loss.
        resources: how to go about it; checkpoints as said above unless it says otherwise.
        report_to: experiment trackers, by the names that sentence-transformers gives them.

    Returns:
        The trained model, a `SentenceTransformer` without adapters.

    Raises:
        EmbudgetError: see `embudget.training.run.train_run` and `embudget.training.export.export`.
    """
    return train_and_record(what, pairs, out, on_progress, resources, report_to)[0]


def train_and_record(
    what: RunConfig | Plans,
    pairs: Pairs,
    out: str | Path | None = None,
    on_progress: "OnProgress | None" = None,
    resources: Resources | None = None,
    report_to: Sequence[str] = (),
) -> tuple["SentenceTransformer", RunRecord]:
    """Like `train`, and return the record of the run too."""
    from embudget.training.export import check_folder, export
    from embudget.training.processes import start_processes
    from embudget.training.tracking import tracked

    config = what if isinstance(what, RunConfig) else what.run_config(pairs.hash)
    resources = resources or Resources()
    first = start_processes().is_main_process
    if out is not None:
        out = Path(out)
        if first:
            check_folder(out)
        if resources.checkpoints is None:
            resources = resources._replace(checkpoints=out.with_name(f"{out.name}.checkpoints"))

    def write(model: "SentenceTransformer", record: RunRecord) -> None:
        if out is not None:
            export(model, record, Path(out))

    with tracked(config, report_to if first else (), out) as on_step:
        model, record = train_run(config, pairs, on_progress, resources, on_step, write)
    if out is not None and first:
        assert resources.checkpoints is not None
        with suppress(OSError):  # others of its runs are still there
            resources.checkpoints.rmdir()
    return model, record
