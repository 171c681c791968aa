"""Is a start better as it is than all that the budget trained? Then it is the model, as `embudget recipe` would say.

An embedding model that exists already has a loss before any training. A short run may leave it worse, with the cut or
the steps that a small budget allows. Every record holds the loss of its start on the held-out pairs of all runs, so
that the two can be compared; where no final run is below the best start, that start becomes out/model, and the best
trained model lies beside it in out/candidates.
"""

from collections.abc import Sequence
from pathlib import Path

from embudget.errors import RunError
from embudget.exports.folder import RECORD_FILE
from embudget.recipe.choice import Untrained
from embudget.records import RunRecord
from embudget.spend.folder import CANDIDATES, MODEL


def better_start(records: Sequence[RunRecord], best: RunRecord) -> Untrained | None:
    """The start of the lowest loss before training, where that is below the loss of the best final run; else None.

    Args:
        records: all runs, whose starts could be the model.
        best: the final run of the lowest loss.

    Example:
        >>> better_start(records, best).model
        'minilm-l6:6'
    """
    measured = [one for one in records if one.base_loss is not None]
    start = min(measured, key=lambda one: (one.base_loss or 0.0, one.config.model), default=None)
    assert best.loss is not None and best.train_flops is not None
    if start is None or not start.base_loss or start.base_loss >= best.loss:
        return None
    return Untrained(
        model=start.config.model,
        lineage=start.lineage,
        loss=start.base_loss,
        trained_loss=best.loss,
        pays_from=None,
        interval=None,
        share=0.0,
        searched=best.train_flops,
    )


def put_start_in_front(start: Untrained, trained: Path, run: str, out: Path) -> Path:
    """Have a start as the model, whole or not at all, and what was trained among the candidates.

    Args:
        start: which.
        trained: folder of the best trained model.
        run: its id.
        out: folder of the spending.

    Raises:
        RunError: the folder cannot be written.
        ExportError, ModelError: the start cannot be loaded or written.
    """
    from embudget.exports import export

    model = out / MODEL
    if trained == model:
        try:
            (out / CANDIDATES).mkdir(exist_ok=True)
            model.rename(out / CANDIDATES / run)
        except OSError as error:
            raise RunError(f"cannot write {out / CANDIDATES}: {error.strerror or error}") from None
    if not is_start(model):
        export(start.model, "sentence-transformers", model)
    return model


def as_it_is(start: Untrained) -> str:
    """Say that a start is the model, in a line for the screen.

    Example:
        >>> as_it_is(start)[:45]
        'model      minilm-l6:6 as it is, not trained:'
    """
    return (
        f"model      {start.model} as it is, not trained: no run is below its held-out loss of {start.loss:.3f} nats; "
        f"what was trained ended at {start.trained_loss:.3f} and lies in {CANDIDATES}/"
    )


def is_start(model: Path) -> bool:
    """Whether a folder holds a model that no run has made."""
    return model.is_dir() and not (model / RECORD_FILE).exists()
