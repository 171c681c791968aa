"""Training one model for use: a recipe or a configuration in, a model and its folder out."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
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
    what: RunConfig | Plans, pairs: Pairs, out: str | Path | None = None, on_progress: "OnProgress | None" = None
) -> "SentenceTransformer":
    """Train a recipe or a configuration, and write the model where ``out`` is given.

    Returns:
        The trained model, a `SentenceTransformer` without adapters.

    Raises:
        EmbudgetError: see `embudget.training.run.train_run` and `embudget.training.export.export`.
    """
    return train_and_record(what, pairs, out, on_progress)[0]


def train_and_record(
    what: RunConfig | Plans, pairs: Pairs, out: str | Path | None = None, on_progress: "OnProgress | None" = None
) -> tuple["SentenceTransformer", RunRecord]:
    """Like `train`, and return the record of the run too."""
    from embudget.training.export import check_folder, export

    config = what if isinstance(what, RunConfig) else what.run_config(pairs.hash)
    if out is not None:
        check_folder(Path(out))
    model, record = train_run(config, pairs, on_progress)
    if out is not None:
        export(model, record, Path(out))
    return model, record
