"""How much of a budget is worth spending where the pairs are few, so that more tokens are repeated ones.

Each pass over the same pairs teaches less than the one before (`embudget.laws.repetition`), while it costs as much. So
a choice stops at the fewest tokens that reach the loss of the whole budget to within WORTH, if half of the tokens or
fewer do; but never before it has seen all pairs once, since how a budget is best shared between size and data is for
the comparison of the choices to say.
"""

from collections.abc import Sequence

import numpy as np

from embudget.laws.on_pairs import OnPairs
from embudget.recipe.options import Option, Question

WORTH = 0.001
"""Relative gain in loss for which the last half of the tokens, or more, must be good: a tenth of the noise of a run."""
_BISECTIONS = 12  # halve the range of log tokens, from one pass to the whole budget, to a thousandth or less


def worthwhile(question: Question, options: Sequence[Option]) -> list[Option]:
    """The options, those with less tokens whose last half of the tokens or more would gain next to nothing."""
    law = question.law
    if not isinstance(law, OnPairs):
        return list(options)
    whole = np.array([option.tokens for option in options])
    at = [str(option.candidate.method) for option in options], np.array([o.candidate.model_params for o in options])
    unique = float(law.unique_tokens)
    if not (whole > 2 * unique).any():
        return list(options)
    target = law.log_losses(*at, whole) + np.log1p(WORTH)
    low, high = np.log(np.minimum(unique, whole)), np.log(whole)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = law.log_losses(*at, np.exp(middle)) <= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return [
        _shortened(question, option, tokens) if tokens <= option.tokens / 2 else option
        for option, tokens in zip(options, np.exp(high).tolist(), strict=True)
    ]


def _shortened(question: Question, option: Option, tokens: float) -> Option:
    """The option with so many tokens; as it was, where that would break a limit such as the fewest steps."""
    found = question.option(option.candidate, option.serve_flops + tokens * option.candidate.flops_per_token)
    return found if isinstance(found, Option) else option
