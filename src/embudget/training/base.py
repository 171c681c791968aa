"""How good the model that a run begins from is before anything is trained.

The start is measured first, on the held-out pairs that the trained model is measured on. Only so does a record tell
whether training helped: a retriever is good already, and a rate that is too high makes it worse.

The runs of a study that begin from one member with the same texts are measured on the same, whatever their method, rate
or seed: a method changes nothing before its first step. So a process measures each start once. Checkpoints keep what
was measured, so that a resumed run has the same record.
"""

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from embudget.records import GroupScore, RunConfig
from embudget.suite.loading import find_checkpoint
from embudget.training.heldout import HeldOut

if TYPE_CHECKING:
    from embudget.training.loop import Training

_MEASURED_BY = (
    "model", "weights", "pairs", "max_length", "pooling", "end_token", "query_prompt", "document_prompt", "attention",
    "eval_pairs", "eval_candidates", "yardstick", "eval_scale",
)  # fmt: skip
"""All that the score of a start depends on, with the scale where the loss is taken at that."""
_NOTE = "base"
_KEPT = 64
_scores: OrderedDict[tuple[Any, ...], HeldOut] = OrderedDict()


def base_score(training: "Training", notes: dict[str, Any]) -> HeldOut | None:
    """Measure the start of a run that is about to begin, or look up what was measured.

    Args:
        training: the run.
        notes: what its checkpoints keep; the score is put there.

    Returns:
        None where it is not known: the run goes on from a checkpoint without one, or the loss is not finite.
    """
    if _NOTE in notes:
        return _read(notes[_NOTE])
    if training.meter.steps:
        return None
    config = training.job.config
    score = known_base(config)
    if score is None:
        score = training.scored()
        if not math.isfinite(score.loss):
            return None
        _scores[_key(config)] = score
        if len(_scores) > _KEPT:
            _scores.popitem(last=False)
    notes[_NOTE] = score._asdict()
    return score


def known_base(config: RunConfig) -> HeldOut | None:
    """The score of a run's start, where this process has measured it."""
    return _scores.get(_key(config))


def _key(config: RunConfig) -> tuple[Any, ...]:
    scale = config.scale if config.eval_scale == "own" else None
    return (find_checkpoint(config.model).identity, scale, *(getattr(config, name) for name in _MEASURED_BY))


def _read(note: dict[str, Any]) -> HeldOut:
    """The score from a checkpoint's JSON."""
    return HeldOut(**{**note, "groups": {name: GroupScore(*score) for name, score in note["groups"].items()}})
