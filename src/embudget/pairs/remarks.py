"""What the user should know of pairs that were built or indexed, in lines: how they were read, and what was left out.

Everything is in `pairs.json` as well, so that pairs which are opened again say the same.
"""

from collections.abc import Iterator

from embudget.pairs.comparison import Reason
from embudget.pairs.layouts import DEFAULT_THRESHOLD, listed
from embudget.pairs.manifest import PairsInfo, Request, SourceInfo
from embudget.pairs.splitting import MOST_SHARE, SHARES, label_pairs

_WANTED: set[Reason] = {"over the limit", "over the weight", "below the threshold", "in a held-out split"}
"""Reasons that the user asked for, or that have a line of their own."""
_MUCH = 1 / 5  # share of a source's pairs from which dropping them is worth a line
_TOO_LITTLE, _TOO_MUCH = 1 / 2, 1.1  # times the least and the most share that a held-out split should have
_MANY = 100  # pairs; a few always miss the share


def remarks(info: PairsInfo) -> list[str]:
    """Say how the sources were read, what of them is not in the pairs, and what is unusual about the splits.

    Example:
        >>> remarks(load_pairs("faq/").info)
        ['files:faq.csv: not used: column score']
    """
    lines = [f"{name}: {line}" for name, source in info.sources.items() for line in _of_source(source, info.request)]
    return [*lines, *_of_splits(info)]


def _of_source(source: SourceInfo, request: Request) -> Iterator[str]:
    yield from (f"read as {layout}" for layout in source.read_as)
    own = [split for split in source.own_splits if split != "train"]
    if own:
        yield f"the data's own splits are kept: {' and '.join(own)}; --resplit makes new splits"
    yield from _left_out(source, request)
    if source.doubtful_rows:
        yield (
            f"{len(source.doubtful_rows):,} rows hold lines that look like rows of their own, the first at "
            f"{source.doubtful_rows[0]}: is there a stray quote?"
        )
    if source.ignored_columns:
        yield f"not used: column {listed(source.ignored_columns)}"
    if source.ignored_splits:
        yield f"not used: split {listed(source.ignored_splits)}"


def _left_out(source: SourceInfo, request: Request) -> Iterator[str]:
    dropped = {reason: count for reason, count in source.dropped.items() if reason not in _WANTED}
    count = sum(dropped.values())
    if count > _MUCH * source.candidates:
        reasons = ", ".join(f"{of_reason:,} {reason}" for reason, of_reason in list(dropped.items())[:4])
        share = f"{count:,} of {source.candidates:,} pairs ({count / source.candidates:.0%})"
        yield f"{share} were left out: {reasons}"
    if low := source.dropped.get("below the threshold", 0):
        threshold = DEFAULT_THRESHOLD if request.threshold is None else request.threshold
        yield f"{low:,} of {source.candidates:,} rows were left out, their score is below {threshold:g}"
    if leaks := source.dropped.get("in a held-out split", 0):
        yield f"{leaks:,} pairs were left out, a text of theirs is in a held-out split"
    if over := source.dropped.get("over the weight", 0):
        yield f"{over:,} training pairs were left out, {source.pairs['train']:,} are what its weight allows"
    if source.dropped_negatives:
        reasons = ", ".join(f"{of_reason:,} {reason}" for reason, of_reason in source.dropped_negatives.items())
        yield f"{source.negatives:,} hard negatives, others were left out: {reasons}"
    bad = source.dropped.get("bad row", 0)
    if bad:
        yield f"{bad:,} bad rows were left out, the first of them:"
        yield from (f"  {example}" for example in source.bad_rows)


def _of_splits(info: PairsInfo) -> Iterator[str]:
    if info.together is None:
        return
    over = sum(source.dropped.get("over the weight", 0) for source in info.sources.values())
    pairs = sum(split.pairs for split in info.splits.values()) + over  # as they were when the splits were made
    if info.together.labelled:
        yield (
            f"{info.together.labelled:,} of {pairs:,} pairs have a positive that over {label_pairs(pairs):,} pairs "
            "share: such labels are in several splits, queries never"
        )
    if any("validation" in source.own_splits for source in info.sources.values()):
        return
    held_out, least, most = info.splits["validation"].pairs, SHARES["validation"] * pairs, MOST_SHARE * pairs
    if pairs >= _MANY and not _TOO_LITTLE * least <= held_out <= _TOO_MUCH * most:
        yield (
            f"validation holds {held_out:,} of {pairs:,} pairs: up to {info.together.largest:,} pairs are joined by a "
            "group or by texts that they share, and stay in one split; name smaller groups, or split the rows yourself"
        )
