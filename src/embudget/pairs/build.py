"""Building a folder of text pairs: read the sources, clean, split by group, write."""

from collections.abc import Callable, Sequence
from pathlib import Path

from embudget.errors import ConfigError, PairsError
from embudget.pairs.clean import Cleaned, Progress, Row, clean
from embudget.pairs.folder import (
    Pairs,
    check_replaceable,
    check_writable,
    content_hash,
    load_pairs,
    new_folder,
    write_info,
    write_split,
)
from embudget.pairs.info import PairsInfo, Request, SourceInfo, SplitInfo
from embudget.pairs.sources import Source, find_sources
from embudget.pairs.split import SPLITS, Split, assign_groups
from embudget.pairs.tokens import token_stats


def build_pairs(
    sources: Sequence[str],
    out: str | Path,
    *,
    query_column: str | None = None,
    positive_column: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    tokenizers: Sequence[str] = (),
    on_progress: Callable[[str, int], None] | None = None,
) -> Pairs:
    """Build text pairs, or reuse what an equal request has built at the same place.

    Args:
        sources: `demo` (aws-docs, google-docs and docstrings), `aws-docs`, `google-docs`, `docstrings`, `debian`,
            `hub:ORG/NAME` or `files:PATH`, where PATH is a file, a folder or a pattern. Of equal texts in two sources
            the one of the earlier source stays.
        out: the folder to make. One that holds pairs of another request is replaced, any other is refused.
        query_column: for `hub:` and `files:`; by default query, anchor or question.
        positive_column: for `hub:` and `files:`; by default positive or answer.
        limit: at most that many pairs of each source, a random subset of what cleaning leaves.
        seed: of the split by groups, the order of the pairs and the subset.
        tokenizers: members whose `token_stats` are computed at once.
        on_progress: called with the stage and the number of pairs so far.

    Raises:
        PairsError: a source or the folder cannot be used; nothing is left behind.
        ModelError: a tokenizer cannot be loaded; the pairs are built nevertheless.
    """
    if (query_column is None) != (positive_column is None):
        raise PairsError("query_column and positive_column must be given together")
    columns = None if query_column is None or positive_column is None else (query_column, positive_column)
    found = find_sources(sources, columns)
    pairs = build_from(found, out, columns=columns, limit=limit, seed=seed, on_progress=on_progress)
    for tokenizer in tokenizers:
        if on_progress is not None:
            on_progress(f"tokens of {tokenizer}", pairs.rows("train"))
        token_stats(pairs, tokenizer)
    return load_pairs(pairs.folder) if tokenizers else pairs


def build_from(
    sources: Sequence[Source],
    out: str | Path,
    *,
    columns: tuple[str, str] | None = None,
    limit: int | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Pairs:
    """`build_pairs` with sources as objects, one's own included."""
    out = Path(out)
    progress = on_progress or _silent
    versions = {source.name: source.versions() for source in sources}
    request = _request(versions, columns, limit, seed)
    check_replaceable(out)
    reusable = _reusable(out, request)
    if reusable is not None:
        return reusable
    check_writable(out)
    cleaned = clean(sources, limit, seed, progress)
    rows = _split(cleaned.rows, seed)
    progress("writing", len(cleaned.rows))
    with new_folder(out) as part:
        info = PairsInfo(
            hash=content_hash(rows),
            request=request,
            splits={split: _write(part, split, rows[split]) for split in SPLITS},
            sources={source.name: _describe(source, versions[source.name], cleaned, rows) for source in sources},
        )
        write_info(part, info)
    return load_pairs(out)


def _silent(stage: str, count: int) -> None:
    del stage, count


def _request(
    versions: dict[str, dict[str, str]], columns: tuple[str, str] | None, limit: int | None, seed: int
) -> Request:
    query_column, positive_column = columns or (None, None)
    data = {
        "sources": tuple(versions),
        "versions": {part: version for of_source in versions.values() for part, version in of_source.items()},
        "query_column": query_column,
        "positive_column": positive_column,
        "limit": limit,
        "seed": seed,
    }
    try:
        return Request.read(data, "request")
    except ConfigError as error:
        raise PairsError(str(error)) from None


def _reusable(out: Path, request: Request) -> Pairs | None:
    """What is at ``out``, if it is whole and the answer to the same request."""
    try:
        pairs = load_pairs(out)
    except PairsError:
        return None
    return pairs if pairs.info.request == request else None


def _split(rows: Sequence[Row], seed: int) -> dict[Split, list[Row]]:
    assigned = assign_groups(((row.scope, row.group) for row in rows), seed)
    splits: dict[Split, list[Row]] = {split: [] for split in SPLITS}
    for row in rows:
        splits[assigned[row.group]].append(row)
    empty = [split for split in SPLITS if not splits[split]]
    if empty:
        raise PairsError(
            f"too few pairs: {len(rows)} in {len(assigned)} group(s) are left after cleaning, which leaves nothing for "
            f"{' and '.join(empty)}; at least {len(SPLITS)} groups are needed"
        )
    return splits


def _write(part: Path, split: Split, rows: Sequence[Row]) -> SplitInfo:
    file = write_split(part, split, rows)
    return SplitInfo(pairs=len(rows), groups=len({row.group for row in rows}), files=(file,))


def _describe(source: Source, versions: dict[str, str], cleaned: Cleaned, rows: dict[Split, list[Row]]) -> SourceInfo:
    return SourceInfo(
        candidates=cleaned.read[source.name],
        dropped=dict(cleaned.dropped[source.name].most_common()),
        pairs={split: sum(row.source == source.name for row in rows[split]) for split in SPLITS},
        versions=versions,
        licences=source.licences(),
    )
