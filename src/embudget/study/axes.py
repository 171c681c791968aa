"""The fields of a study that hold one value or several, as a user writes them: batch, lengths, scales, tasks, ..."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    Tag,
    ValidationInfo,
)

from embudget.errors import ConfigError
from embudget.evaluation.tasks import word_beside, words_of
from embudget.frozen import unique
from embudget.limits import BatchSize, Flops, Length, Negatives
from embudget.records.config import Matryoshka
from embudget.study.batch_size import BatchRule

MOST_SCALE = 1e6
"""The largest scale and weight decay, those of `RunConfig`."""

MOST_VALUES = 16
"""Values of an axis beside members, methods and budgets: each multiplies the cost of the study."""


def _shape_of_batch(value: Any) -> str:  # noqa: ANN401 - whatever a file held
    """Which of the three ways to give a batch size is meant, so that a message speaks of that one alone."""
    if isinstance(value, BatchRule) or (isinstance(value, dict) and set(value) & set(BatchRule.model_fields)):
        return "(rule)"
    return "(budgets)" if isinstance(value, dict) else "(number)"


BatchSizes = Annotated[
    Annotated[BatchSize, Tag("(number)")]
    | Annotated[dict[Flops, BatchSize], Tag("(budgets)")]
    | Annotated[BatchRule, Tag("(rule)")],
    Discriminator(_shape_of_batch),
]
"""A number of pairs a step, one for each budget, or a rule."""


def _values(value: Any) -> Any:  # noqa: ANN401 - whatever a file held
    return value if isinstance(value, (list, tuple)) else (value,)


Lengths = Annotated[
    tuple[Length, ...], BeforeValidator(_values), Field(min_length=1, max_length=MOST_VALUES), AfterValidator(unique)
]
NegativeCounts = Annotated[
    tuple[Negatives, ...], BeforeValidator(_values), Field(min_length=1, max_length=MOST_VALUES), AfterValidator(unique)
]
Scales = Annotated[
    tuple[Annotated[PositiveFloat, Field(le=MOST_SCALE)], ...],
    BeforeValidator(_values),
    Field(min_length=1, max_length=MOST_VALUES),
    AfterValidator(unique),
]
Decays = Annotated[
    tuple[Annotated[NonNegativeFloat, Field(le=MOST_SCALE)], ...],
    BeforeValidator(_values),
    Field(min_length=1, max_length=MOST_VALUES),
    AfterValidator(unique),
]
"""One number, or several: every run of the grid is trained with each."""

Sizes = Annotated[Matryoshka, BeforeValidator(_values)]
"""Embedding sizes that every run trains besides the full one."""


def _task_words(texts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Split into tasks; paths are taken beside the study's file, where the context names its folder."""
    here = info.context if isinstance(info.context, Path) else None
    try:
        words = words_of(texts, here or Path()) if texts else []
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return tuple(words if here is None else [word_beside(here, word) for word in words])


Tasks = Annotated[tuple[str, ...], AfterValidator(_task_words)]
"""Benchmark tasks, each in the words of `embudget.evaluation.tasks`."""
