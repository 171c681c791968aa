"""Cleaning of text pairs, with a count of what was dropped and why.

Each text is normalised, that of documentation also cut (`Rules.characters`), then each pair passes the rules in the
order of `Reason`. No text, compared by its words in lower case, occurs twice in what is kept, neither on the same side
nor on the other: two equal positives would be false negatives of each other in a batch, and an equal text in two splits
would leak. That is a cap of 1 per identical positive. Of several pairs the first one stays: the order of the sources
matters.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from embudget.pairs.near import near_duplicates
from embudget.pairs.sources.base import RawPair, Rules, Source
from embudget.pairs.split import order_key
from embudget.pairs.text import cut, normalise, words

Reason = Literal[
    "query too short",
    "positive too short",
    "not prose",
    "positive repeats query",
    "duplicate query",
    "duplicate positive",
    "near-duplicate positive",
    "near-duplicate query",
    "over the limit",
    "not parsed",
]
"""Of "not parsed", the unit is a module of Python code, all of whose docstrings are missing."""
Progress = Callable[[str, int], None]

_LEAST_LETTERS = 0.7  # letters and spaces among the characters of prose; tables, patterns and code have fewer
_OVERLAP = 0.8  # Jaccard similarity of the words of both sides from which the positive only repeats the query
_ECHO_WORDS = 5  # a positive of so many words, all of them in the query, adds nothing; a shorter one may answer it
_REPORT_EVERY = 2000


class Row(NamedTuple):
    """A cleaned pair. ``group`` is unique over all scopes."""

    query: str
    positive: str
    group: str
    source: str
    scope: str
    """`Source.scope`, the first part of the group; in no file."""


class _Candidate(NamedTuple):
    row: Row
    query_key: str
    positive_key: str


@dataclass
class Cleaned:
    """What cleaning left, and per source how many pairs were read and dropped."""

    rows: list[Row] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[Reason]] = field(default_factory=dict)


def clean(sources: Sequence[Source], limit: int | None, seed: int, progress: Progress) -> Cleaned:
    """Read all sources and keep what passes the rules, at most ``limit`` pairs of each source.

    Raises:
        PairsError: a source cannot be read.
    """
    result = Cleaned(dropped={source.name: Counter() for source in sources})
    kept: list[_Candidate] = []
    seen: set[str] = set()
    with _no_garbage_collection():
        for source in sources:
            kept.extend(_read(source, seen, result, progress))
    progress("near-duplicates", len(kept))
    kept = _without_near(kept, [one.positive_key for one in kept], "near-duplicate positive", result)
    kept = _without_near(kept, [one.query_key for one in kept], "near-duplicate query", result)
    result.rows = _limited([one.row for one in kept], limit, seed, result)
    return result


def _read(source: Source, seen: set[str], result: Cleaned, progress: Progress) -> Iterator[_Candidate]:
    stage = f"reading {source.name}"
    for pair in source.read():
        result.read[source.name] += 1
        if result.read[source.name] % _REPORT_EVERY == 0:
            progress(stage, result.read[source.name])
        candidate = _candidate(pair, source)
        reason = _flaw(candidate, source.rules) or _repetition(candidate, seen)
        if reason is None:
            yield candidate
        else:
            result.dropped[source.name][reason] += 1
    if source.unparsed:
        result.read[source.name] += source.unparsed
        result.dropped[source.name]["not parsed"] += source.unparsed
    progress(stage, result.read[source.name])


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Reading makes many objects and no cycles; walking over all rows again and again took half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _candidate(pair: RawPair, source: Source) -> _Candidate:
    query, positive = normalise(pair.query), normalise(pair.positive)
    if source.rules.characters is not None:
        query, positive = (cut(text, source.rules.characters) for text in (query, positive))
    query_key, positive_key = " ".join(words(query)), " ".join(words(positive))
    # a pair without a group is a group of its own: no other row holds either of its texts
    name = order_key(0, query_key, positive_key).hex() if pair.group is None else normalise(pair.group)
    row = Row(query, positive, f"{source.scope}/{name}", source.name, source.scope)
    return _Candidate(row, query_key, positive_key)


def _flaw(candidate: _Candidate, rules: Rules) -> Reason | None:
    """The first rule that a pair breaks by itself."""
    row, query_key, positive_key = candidate
    if not row.query or len(row.query.split()) < rules.query_words:
        return "query too short"
    if not row.positive or len(row.positive.split()) < rules.positive_words:
        return "positive too short"
    if rules.prose and not (_is_prose(row.query) and _is_prose(row.positive)):
        return "not prose"
    of_query, of_positive = set(query_key.split()), set(positive_key.split())
    if len(of_query & of_positive) >= _OVERLAP * len(of_query | of_positive):
        return "positive repeats query"
    if len(of_positive) >= _ECHO_WORDS and of_positive <= of_query:
        return "positive repeats query"
    return None


def _is_prose(text: str) -> bool:
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    return letters >= _LEAST_LETTERS * len(text)


def _repetition(candidate: _Candidate, seen: set[str]) -> Reason | None:
    """Whether an earlier pair holds one of the texts; remembers both if not."""
    if candidate.query_key in seen:
        return "duplicate query"
    if candidate.positive_key in seen:
        return "duplicate positive"
    seen.update((candidate.query_key, candidate.positive_key))
    return None


def _without_near(
    candidates: Iterable[_Candidate], keys: Sequence[str], reason: Reason, result: Cleaned
) -> list[_Candidate]:
    kept: list[_Candidate] = []
    for candidate, repeated in zip(candidates, near_duplicates(keys).tolist(), strict=True):
        if repeated:
            result.dropped[candidate.row.source][reason] += 1
        else:
            kept.append(candidate)
    return kept


def _limited(rows: list[Row], limit: int | None, seed: int, result: Cleaned) -> list[Row]:
    """The rows in random order, at most ``limit`` of each source; a smaller limit gives a prefix of a larger one."""
    rows = sorted(rows, key=lambda row: order_key(seed, row.query, row.positive))
    taken: Counter[str] = Counter()
    kept: list[Row] = []
    for row in rows:
        if limit is not None and taken[row.source] >= limit:
            result.dropped[row.source]["over the limit"] += 1
            continue
        taken[row.source] += 1
        kept.append(row)
    return kept
