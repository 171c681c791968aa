"""Which pairs are fit to train on, with a count of what was dropped and why.

No text may occur twice, on either side, because two equal positives would be false negatives of each other in a batch,
and an equal text in two splits would leak. Texts are compared by their words in lower case, and by their sets of word
pairs (`embudget.pairs.duplicates`). The first pair with a text stays, so the order of the sources matters.

Each text is normalised, documentation is also cut (`Rules.characters`), and then each pair passes the rules in the
order of `Reason`; it is counted under the first one that it breaks.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal, NamedTuple

from embudget.pairs.duplicates import near_duplicates
from embudget.pairs.sources.base import RawPair, Rules, Source
from embudget.pairs.splitting import order_key
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
"""Why a pair was dropped. Only "not parsed" does not count pairs: it counts modules of Python code."""
Progress = Callable[[str, int], None]
"""Called with a stage and the number of pairs so far."""

_LEAST_LETTERS = 0.7  # share of letters and spaces in prose; tables, patterns and code have less
_OVERLAP = 0.8  # Jaccard similarity of the two sides' words from which the positive only repeats the query
_ECHO_WORDS = 5  # a positive of 5 words or more that are all in the query adds nothing; a shorter one may be an answer
_REPORT_EVERY = 2000  # pairs between two calls of progress


class Row(NamedTuple):
    """A pair that was kept, its texts normalised. The group begins with the scope and is unique over all scopes."""

    query: str
    positive: str
    group: str
    source: str
    scope: str
    """`Source.scope`. It is not written to the files, which hold it as the first part of the group."""


class _Candidate(NamedTuple):
    """A pair with the words of each side in lower case, joined by spaces, by which texts are compared."""

    row: Row
    query_key: str
    positive_key: str


@dataclass
class Cleaned:
    """What cleaning kept, and for each source how many pairs were read and dropped."""

    rows: list[Row] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[Reason]] = field(default_factory=dict)


def clean(sources: Sequence[Source], limit: int | None, seed: int, progress: Progress) -> Cleaned:
    """Read all sources, in order of preference, and keep what passes the rules, up to ``limit`` pairs of each source.

    The seed changes the order of the rows, and so the subset that a limit keeps.

    Raises:
        PairsError: a source cannot be read.
    """
    result = Cleaned(dropped={source.name: Counter() for source in sources})
    seen: set[str] = set()
    with _no_garbage_collection():
        kept = [candidate for source in sources for candidate in _read(source, seen, result, progress)]
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
        reason = _flaw(candidate, source.rules, seen)
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
    """Pause the garbage collector, because reading makes many objects but no cycles.

    Its walks over all rows, again and again, took half of the time.
    """
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
    # a pair without a group gets one of its own, named by its texts, since no other kept row holds either of them
    name = order_key(0, query_key, positive_key).hex() if pair.group is None else normalise(pair.group)
    row = Row(query, positive, f"{source.scope}/{name}", source.name, source.scope)
    return _Candidate(row, query_key, positive_key)


def _flaw(candidate: _Candidate, rules: Rules, seen: set[str]) -> Reason | None:
    """Name the first rule that a pair breaks. The texts of a pair that breaks none become ``seen``."""
    row, query_key, positive_key = candidate
    if not row.query or len(row.query.split()) < rules.query_words:
        return "query too short"
    if not row.positive or len(row.positive.split()) < rules.positive_words:
        return "positive too short"
    if rules.prose and not (_is_prose(row.query) and _is_prose(row.positive)):
        return "not prose"
    of_query, of_positive = set(query_key.split()), set(positive_key.split())
    similar = len(of_query & of_positive) >= _OVERLAP * len(of_query | of_positive)
    if similar or (len(of_positive) >= _ECHO_WORDS and of_positive <= of_query):
        return "positive repeats query"
    if query_key in seen:
        return "duplicate query"
    if positive_key in seen:
        return "duplicate positive"
    seen.update((query_key, positive_key))
    return None


def _is_prose(text: str) -> bool:
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    return letters >= _LEAST_LETTERS * len(text)


def _without_near(
    candidates: Sequence[_Candidate], keys: Sequence[str], reason: Reason, result: Cleaned
) -> list[_Candidate]:
    repeated = near_duplicates(keys)
    for candidate in compress(candidates, repeated):
        result.dropped[candidate.row.source][reason] += 1
    return list(compress(candidates, ~repeated))


def _limited(rows: list[Row], limit: int | None, seed: int, result: Cleaned) -> list[Row]:
    """Shuffle the rows and keep at most ``limit`` of each source.

    The order does not depend on the limit, so a larger limit keeps all that a smaller one keeps.
    """
    rows = sorted(rows, key=lambda row: order_key(seed, row.query, row.positive))
    met: Counter[str] = Counter()
    kept: list[Row] = []
    for row in rows:
        met[row.source] += 1
        if limit is None or met[row.source] <= limit:
            kept.append(row)
        else:
            result.dropped[row.source]["over the limit"] += 1
    return kept
