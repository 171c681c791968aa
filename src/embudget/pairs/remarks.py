"""What the user should know of pairs that were built or indexed, in lines: what was left out, ignored or joined.

Everything is in `pairs.json` as well, so that pairs which are opened again say the same.
"""

from collections.abc import Iterator

from embudget.pairs.columns import listed
from embudget.pairs.manifest import PairsInfo, SourceInfo
from embudget.pairs.splitting import MOST_SHARE, SHARES, label_pairs

_MUCH = 1 / 5  # share of a source's pairs from which dropping them is worth a line
_TOO_LITTLE, _TOO_MUCH = 1 / 2, 1.1  # of the least share that a held-out split should have, and of the most
_MANY = 100  # pairs; a few always miss the share


def remarks(info: PairsInfo) -> list[str]:
    """Say what of the sources is not in the pairs, and what is unusual about the splits.

    Example:
        >>> remarks(load_pairs("faq/").info)
        ['files:faq.csv: not used: column score']
    """
    lines = [line for name, source in info.sources.items() for line in _of_source(name, source)]
    return [*lines, *_of_splits(info)]


def _of_source(name: str, source: SourceInfo) -> Iterator[str]:
    dropped = {reason: count for reason, count in source.dropped.items() if reason != "over the limit"}
    count = sum(dropped.values())
    if count > _MUCH * source.candidates:
        reasons = ", ".join(f"{of_reason:,} {reason}" for reason, of_reason in list(dropped.items())[:4])
        share = f"{count:,} of {source.candidates:,} pairs ({count / source.candidates:.0%})"
        yield f"{name}: {share} were left out: {reasons}"
    bad = source.dropped.get("bad row", 0)
    if bad:
        yield f"{name}: {bad:,} bad rows were left out, the first of them:"
        yield from (f"  {example}" for example in source.bad_rows)
    if source.doubtful_rows:
        yield (
            f"{name}: {len(source.doubtful_rows):,} rows hold lines that look like rows of their own, the first at "
            f"{source.doubtful_rows[0]}: is there a stray quote?"
        )
    if source.ignored_columns:
        yield f"{name}: not used: column {listed(source.ignored_columns)}"
    if source.ignored_splits:
        yield f"{name}: not used: split {listed(source.ignored_splits)}"


def _of_splits(info: PairsInfo) -> Iterator[str]:
    if info.together is None:
        return
    pairs = sum(split.pairs for split in info.splits.values())
    if info.together.labelled:
        yield (
            f"{info.together.labelled:,} of {pairs:,} pairs have a positive that over {label_pairs(pairs):,} pairs "
            "share: such labels are in several splits, queries never"
        )
    held_out, least, most = info.splits["validation"].pairs, SHARES["validation"] * pairs, MOST_SHARE * pairs
    if pairs >= _MANY and not _TOO_LITTLE * least <= held_out <= _TOO_MUCH * most:
        yield (
            f"validation holds {held_out:,} of {pairs:,} pairs: up to {info.together.largest:,} pairs are joined by a "
            "group or by texts that they share, and stay in one split; name smaller groups, or split the rows yourself"
        )
