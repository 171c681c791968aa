"""Is a start better as it is than all that the budget trained? Then it is the model, as `embudget recipe` would say.

An embedding model that exists already has a loss before any training. A short run may leave it worse, with the cut or
the steps that a small budget allows. Every record holds the loss of its start on the held-out pairs of all runs, so
that the two can be compared; where no final run is below the best start, that start becomes out/model, and the best
trained model lies beside it in out/candidates.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from embudget.errors import RunError
from embudget.exports.run import EXPORT_FILE, export
from embudget.recipe.choice import Untrained
from embudget.records import RunRecord
from embudget.spending.allocation import Arm
from embudget.spending.folder import CANDIDATES, MODEL


def better_start(arms: Sequence[Arm], records: Sequence[RunRecord], best: RunRecord) -> Untrained | None:
    """The start of the lowest loss before training, where that is below the loss of the best final run; else None.

    Args:
        arms: what could be trained, with the losses of retrievers that were measured.
        records: all runs, which hold the losses of their starts.
        best: the final run of the lowest loss.

    Example:
        >>> better_start(allocation.arms, records, best).model
        'minilm-l6:6'
    """
    loss, model, lineage = lowest_start(arms, records)
    assert best.loss is not None and best.train_flops is not None
    if loss >= best.loss:
        return None
    return Untrained(
        model=model,
        lineage=lineage or None,
        loss=loss,
        trained_loss=best.loss,
        pays_from=None,
        interval=None,
        share=0.0,
        searched=best.train_flops,
    )


def lowest_start(arms: Sequence[Arm], records: Sequence[RunRecord]) -> tuple[float, str, str]:
    """Held-out loss in nats, member and lineage of the start that is best before training; inf where none is known.

    Args:
        arms: see `better_start`.
        records: see `better_start`.
    """
    starts = [
        *((one.base_loss, one.model, one.lineage) for one in arms),
        *((one.base_loss, one.config.model, one.lineage or "") for one in records),
    ]
    measured = [(loss, model, lineage) for loss, model, lineage in starts if loss]
    return min(measured, default=(math.inf, "", ""))


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
    """Whether a folder holds a start as it is, which was exported, and not what a run has written."""
    return (model / EXPORT_FILE).is_file()
