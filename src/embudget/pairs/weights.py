"""How many training pairs each source gives, where the user weighs them: `demo=0.5 general=0.5`.

The weights w are relative: a source gets the share w / sum(w) of the training pairs. As many pairs are kept as the
shares allow: a source with n pairs keeps floor(w * T) of them, with T the smallest n / w, so that the source that is
scarcest for its share keeps all. What is kept is the beginning of a random order that does not depend on the weights,
so that a larger share keeps all that a smaller one keeps.

Validation and test pairs are not weighed: whatever the mixture, it is measured on the same pairs, and losses of two
mixtures compare.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from embudget.errors import PairsError
from embudget.pairs.comparison import Dropped, Row
from embudget.pairs.layouts import shown


class Share(NamedTuple):
    """What the user weighed: one source, or several under one name such as `demo`."""

    name: str
    weight: float
    sources: tuple[str, ...]


def split_weights(texts: Sequence[str]) -> tuple[list[str], dict[str, float]]:
    """Take the weights off the sources.

    Only a number behind the last `=` is a weight, and not where a file has that name: `files:a=b.csv` has none, nor has
    `files:year=2024` if there is such a folder.

    Returns:
        The sources without weights, and source -> weight, which is empty if there are none.

    Raises:
        PairsError: a weight is no number above 0, some sources have one and others none, or one is named twice.

    Example:
        >>> split_weights(["demo=0.5", "files:faq.csv=2"])
        (['demo', 'files:faq.csv'], {'demo': 0.5, 'files:faq.csv': 2.0})
    """
    parsed = [_parse(text) for text in texts]
    weights = {name: weight for name, weight in parsed if weight is not None}
    names = [name for name, _ in parsed]
    without = [name for name in names if name not in weights]
    if weights and without:
        raise PairsError(
            f"all sources must have a weight or none, got {shown(next(iter(weights)))} with one and "
            f"{shown(without[0])} without"
        )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if weights and twice:
        raise PairsError(f"each source must be named once to be weighed, got {shown(twice[0])} twice")
    return names, weights


def _parse(text: str) -> tuple[str, float | None]:
    name, equals, behind = text.rpartition("=")
    kind, _, path = text.partition(":")
    if not equals or (kind == "files" and _exists(path)):
        return text, None
    try:
        weight = float(behind)
    except ValueError:
        if kind == "files" and not _exists(name.removeprefix("files:")):
            return text, None
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise PairsError(
            f"the weight of {shown(name)} must be a number above 0, got {shown(behind) if behind else 'nothing'}"
        )
    return name, weight


def _exists(path: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return Path(path).exists()
    return False


def shares_of(weights: dict[str, float], sources: Callable[[str], Sequence[str]]) -> list[Share]:
    """Say which sources each weight is for.

    Args:
        weights: name -> weight.
        sources: gives the names of the sources that a name stands for.

    Raises:
        PairsError: a source is under two names.
    """
    shares = [Share(name, weight, tuple(sources(name))) for name, weight in weights.items()]
    times = Counter(source for share in shares for source in share.sources)
    for share in shares:
        for source in share.sources:
            if times[source] > 1:
                raise PairsError(f"{shown(source)} must have one weight, got several: {share.name} holds it as well")
    return shares


def weigh(rows: Sequence[Row], shares: Sequence[Share], dropped: Dropped) -> list[Row]:
    """Keep as many training pairs as the shares allow, and count the others as "over the weight".

    Raises:
        PairsError: a source has no training pair, or so small a share that it keeps none.
    """
    if not shares:
        return list(rows)
    share_of = {source: at for at, share in enumerate(shares) for source in share.sources}
    found = Counter(share_of[row.source] for row in rows)
    pairs_per_weight = min(found[at] / share.weight for at, share in enumerate(shares))
    room = {
        at: min(found[at], math.floor(share.weight * pairs_per_weight * (1 + 1e-12))) for at, share in enumerate(shares)
    }
    for at, share in sorted(enumerate(shares), key=lambda item: found[item[0]]):  # the cause before its effects
        if not room[at]:
            why = f"it has none of {len(rows):,}" if not found[at] else "its weight is too small beside the others"
            raise PairsError(f"{shown(share.name)} at weight {share.weight:g} leaves no training pair of it: {why}")
    kept = []
    for row in rows:
        at = share_of[row.source]
        if room[at]:
            room[at] -= 1
            kept.append(row)
        else:
            dropped[row.source]["over the weight"] += 1
    return kept
