"""How large a number may be before it must be a slip: the limits of every budget, batch, length and seed, in one place.

Nothing near a limit has been trained by anyone. They keep what follows from such a number, its square or its product
with another, within what a program can hold, so that a slip is refused at once instead of overflowing far from here.
A bool is refused where a number belongs: `yes` in YAML would otherwise count as 1.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

MOST_FLOPS = 1e30
"""Budget in FLOP. The largest training runs known in 2025 took about 5e26."""
MOST_BATCH = 2**20
"""Pairs a step; the paper's largest batch is 1024."""
MOST_LENGTH = 2**20
"""Tokens of a text."""
MOST_STEP_TOKENS = 2**31
"""Pairs a step times tokens of the longest text: their token ids alone take 16 GB."""
MOST_SEED = 2**32 - 1
"""What numpy and torch both take as a seed."""
MOST_COUNT = 10**30
"""Tokens, pairs, steps and parameters: no budget pays for more."""
MOST_SIZE = 10**8
"""Width, positions or rows of the vocabulary of a model. The largest published in 2025 has 10 million positions."""
MOST_LAYERS = 10**4
"""Blocks of a model. The deepest published has 1,000."""
MOST_EPOCHS = 10**6
MOST_NEGATIVES = 64
"""Hard negatives of a pair: each costs as many tokens as its positive."""
LEAST_RATE, MOST_RATE = 1e-12, 1e30


def _no_bool(value: Any) -> Any:  # noqa: ANN401 - whatever a file held
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {str(value).lower()}")
    return value


_Number = BeforeValidator(_no_bool)
Flops = Annotated[float, _Number, Field(gt=0, le=MOST_FLOPS)]
Rate = Annotated[float, _Number, Field(ge=LEAST_RATE, le=MOST_RATE)]
BatchSize = Annotated[int, _Number, Field(ge=2, le=MOST_BATCH)]
Length = Annotated[int, _Number, Field(ge=1, le=MOST_LENGTH)]
Seed = Annotated[int, _Number, Field(ge=0, le=MOST_SEED)]
Epochs = Annotated[int, _Number, Field(ge=1, le=MOST_EPOCHS)]
Count = Annotated[int, _Number, Field(ge=1, le=MOST_COUNT)]
ModelSize = Annotated[int, _Number, Field(gt=0, le=MOST_SIZE)]
Layers = Annotated[int, _Number, Field(gt=0, le=MOST_LAYERS)]
Negatives = Annotated[int, _Number, Field(ge=0, le=MOST_NEGATIVES)]
Candidates = Annotated[int, _Number, Field(ge=2, le=MOST_BATCH)]
"""Held-out pairs that are compared with each other."""


def step_problem(batch_size: int, max_length: int) -> str | None:
    """What is wrong with a step of this many pairs of texts of this many tokens; None where it could exist."""
    if batch_size * max_length <= MOST_STEP_TOKENS:
        return None
    return f"batch_size * max_length must be <= {MOST_STEP_TOKENS}, got {batch_size} * {max_length}"
