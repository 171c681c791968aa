"""Train, validation and test by group, never by row, so that no service, API or package is in two of them.

Within each scope (see `Source.scope`), groups are ordered by a hash of the seed and their name, and taken in this order
into the test split, then into the validation split, as long as they fit into the split's share of the rows; all others
train. A group larger than a share therefore always trains: with a few large groups (packages), the small ones make up
the shares.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SHARES: dict[Split, float] = {"test": 0.05, "validation": 0.04}
"""Of the rows of each scope."""


def order_key(seed: int, *parts: str) -> bytes:
    """A place in a random order that depends on the seed and the parts only, not on a generator's implementation."""
    return hashlib.blake2b("\x1f".join((str(seed), *parts)).encode(), digest_size=16).digest()


def assign_groups(rows: Iterable[tuple[str, str]], seed: int) -> dict[str, Split]:
    """The split of each group.

    Args:
        rows: scope and group of each row; a group's name is unique over all scopes.
        seed: another seed, another order of the groups.
    """
    sizes: dict[str, Counter[str]] = {}
    for scope, group in rows:
        sizes.setdefault(scope, Counter())[group] += 1
    assigned: dict[str, Split] = {}
    for of_scope in sizes.values():
        assigned |= _assign(of_scope, seed)
    return assigned


def _assign(sizes: Counter[str], seed: int) -> dict[str, Split]:
    assigned: dict[str, Split] = dict.fromkeys(sizes, "train")
    free = sorted(sizes, key=lambda group: order_key(seed, group))
    for split, share in SHARES.items():
        chosen = _fill(free, sizes, round(share * sizes.total()))
        if not chosen and len(sizes) >= len(SPLITS):  # no group is small enough: better a large share than none
            chosen = {min(free, key=lambda group: sizes[group])}
        assigned.update(dict.fromkeys(chosen, split))
        free = [group for group in free if group not in chosen]
    return assigned


def _fill(groups: Sequence[str], sizes: Counter[str], target: int) -> set[str]:
    chosen: set[str] = set()
    for group in groups:
        if sizes[group] <= target:
            chosen.add(group)
            target -= sizes[group]
    return chosen
