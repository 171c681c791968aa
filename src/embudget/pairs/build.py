"""How a folder of text pairs is built: read the sources, clean, split by group, write.

Building the demo takes 50 s on one core and keeps 119,418 of 220,244 candidates (`docs/log.md`). The result depends on
the versions of the sources, the columns, the options and the seed only, so an equal request opens what is there.
"""

import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from embudget.errors import PairsError
from embudget.pairs.cleaning import Cleaned, Progress, clean
from embudget.pairs.columns import named_columns
from embudget.pairs.comparison import Row
from embudget.pairs.folder import Pairs, check_replaceable, check_writable, load_pairs, new_folder
from embudget.pairs.manifest import PairsInfo, Request, SourceInfo, SplitInfo, Together, write_info
from embudget.pairs.remarks import remarks
from embudget.pairs.shards import COLUMNS, describe_file
from embudget.pairs.sources import Source, find_sources
from embudget.pairs.splitting import SPLITS, Split, Texts, assign_groups, join_groups, labels
from embudget.pairs.text import text_key
from embudget.pairs.tokens import token_stats

LOG = logging.getLogger(__name__)
_ROW_GROUP = 16_384  # rows that a reader has to decode at least, and a block of the token cache


def build_pairs(
    sources: Sequence[str],
    out: str | Path,
    *,
    query_column: str | None = None,
    positive_column: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    near_duplicates: bool = True,
    one_per_query: bool = False,
    skip_bad: bool = False,
    tokenizers: Sequence[str] = (),
    on_progress: Progress | None = None,
    on_remark: Callable[[str], None] = LOG.warning,
) -> Pairs:
    """Build text pairs, or open what an equal request has built at the same place.

    All rows pass through memory. For pairs that are clean already, or too many for that, use `index_pairs`.

    Args:
        sources: `demo` (which is aws-docs, google-docs and docstrings), `aws-docs`, `google-docs`, `docstrings`,
            `debian`, `hub:ORG/NAME` or `files:PATH`, where PATH is a file, a folder or a pattern. If two sources of
            your own hold a pair, or two of documentation a text, that of the earlier source stays.
        out: the folder to make. Pairs of another request are replaced there; a folder with other files, or with
            pairs that somebody changed, is refused.
        query_column: the column of the queries in `hub:` and `files:`; by default query, anchor or question.
        positive_column: the column of the positives in `hub:` and `files:`; by default positive or answer.
        limit: the most pairs to keep of each source, a random subset of what cleaning leaves; by default all.
        seed: changes which groups are held out, the order of the pairs and the subset.
        near_duplicates: whether pairs that nearly repeat an earlier one are dropped, see `embudget.pairs.near_pairs`.
        one_per_query: whether of several pairs of yours with one query only the first is kept. By default all are:
            batches keep equal texts apart.
        skip_bad: whether rows of yours that break a rule of their format are left out and counted. By default the
            first one is an error.
        tokenizers: models in whose tokens to measure the texts at once, see `token_stats`.
        on_progress: called with the stage and the number of pairs so far.
        on_remark: called with each line about what was left out, see `embudget.pairs.remarks`; by default a warning is
            logged.

    Raises:
        PairsError: a source or the folder cannot be used, or too few pairs are left; nothing is left behind.
        ModelError: a tokenizer cannot be loaded; the pairs are built nevertheless.

    Example:
        >>> pairs = build_pairs(
        ...     ["files:faq.csv"], "pairs/", query_column="title", positive_column="body"
        ... )
        >>> {split: pairs.rows(split) for split in ("train", "validation", "test")}
        {'train': 80, 'validation': 10, 'test': 10}
    """
    columns = named_columns(query_column, positive_column)
    pairs = build_from(
        find_sources(sources, columns, skip_bad=skip_bad),
        out,
        columns=columns,
        limit=limit,
        seed=seed,
        near_duplicates=near_duplicates,
        one_per_query=one_per_query,
        skip_bad=skip_bad,
        on_progress=on_progress,
        on_remark=on_remark,
    )
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
    near_duplicates: bool = True,
    one_per_query: bool = False,
    skip_bad: bool = False,
    on_progress: Progress | None = None,
    on_remark: Callable[[str], None] = LOG.warning,
) -> Pairs:
    """Build text pairs as `build_pairs` does, from sources given as objects, such as one of your own.

    The arguments are those of `build_pairs`, and so are the errors. ``columns`` and ``skip_bad`` do not change what the
    sources read: they are kept in the request.
    """
    pairs = _build(
        sources,
        Path(out),
        _request(
            sources,
            query_column=columns[0] if columns else None,
            positive_column=columns[1] if columns else None,
            limit=limit,
            seed=seed,
            near_duplicates=near_duplicates,
            one_per_query=one_per_query,
            skip_bad=skip_bad,
        ),
        on_progress or (lambda stage, count: None),
    )
    for line in remarks(pairs.info):
        on_remark(line)
    return pairs


def _request(sources: Sequence[Source], **options: object) -> Request:
    versions = {source.name: source.versions() for source in sources}
    parts = {part: version for of_source in versions.values() for part, version in of_source.items()}
    return Request.read({"sources": tuple(versions), "versions": parts, **options}, "request", PairsError)


def _build(sources: Sequence[Source], out: Path, request: Request, progress: Progress) -> Pairs:
    check_replaceable(out, request.versions)
    with contextlib.suppress(PairsError):  # there are no pairs yet, or damaged ones
        there = load_pairs(out)
        if there.info.request == request:
            return there
    check_writable(out)
    versions = {source.name: source.versions() for source in sources}
    cleaned = clean(
        sources,
        request.limit,
        request.seed,
        progress,
        near_duplicates=request.near_duplicates,
        one_per_query=request.one_per_query,
    )
    rows, together = _split(cleaned, request.seed)
    progress("writing", len(cleaned.rows))
    with new_folder(out) as part:
        info = PairsInfo(
            hash=content_hash(rows),
            request=request,
            splits={split: _write(part, split, rows[split]) for split in SPLITS},
            sources={
                source.name: SourceInfo(
                    candidates=cleaned.read[source.name],
                    dropped=dict(cleaned.dropped[source.name].most_common()),
                    pairs={split: sum(row.source == source.name for row in rows[split]) for split in SPLITS},
                    versions=versions[source.name],
                    licences=source.licences(),
                    bad_rows=source.unused.examples,
                    doubtful_rows=source.unused.doubtful,
                    ignored_columns=source.unused.columns,
                    ignored_splits=source.unused.splits,
                )
                for source in sources
            },
            together=together,
        )
        write_info(part, info)
    return load_pairs(out)


def _split(cleaned: Cleaned, seed: int) -> tuple[dict[Split, list[Row]], Together]:
    rows = cleaned.rows
    texts = [Texts(row.group, text_key(row.query), text_key(row.positive)) for row in rows]
    sets = join_groups(texts)
    scopes = {row.group: row.scope for row in rows}
    assigned = assign_groups(((scopes[sets[row.group]], sets[row.group]) for row in rows), seed)
    splits: dict[Split, list[Row]] = {split: [] for split in SPLITS}
    for row in rows:
        splits[assigned[sets[row.group]]].append(row)
    empty = [split for split in SPLITS if not splits[split]]
    if empty:
        joined, index = "", ""
        if len(assigned) < len(sets):
            joined = ", joined by the texts that they share,"
            index = "split them yourself (embudget pairs index): "
        raise PairsError(
            f"too few pairs: {len(rows)} in {len(assigned)} group(s){joined} are left after cleaning"
            f"{_dropped(cleaned)}, which leaves nothing for {' and '.join(empty)}; {index}at least {len(SPLITS)} "
            "groups are needed"
        )
    sizes = Counter(sets[row.group] for row in rows)
    return splits, Together(largest=max(sizes.values()), labelled=sum(labels(texts).values()))


def _dropped(cleaned: Cleaned) -> str:
    """What most pairs were dropped for, if any were."""
    reasons = sum(cleaned.dropped.values(), Counter())
    parts = (f"{count:,} {reason}" for reason, count in reasons.most_common(2))
    return f" (dropped: {', '.join(parts)})" if reasons else ""


def content_hash(rows: Mapping[Split, Sequence[Row]]) -> str:
    """Hash all rows in their order: 16 hexadecimal digits of a SHA-256.

    It covers query, positive, group and scope. The source is left out, because `files:PATH` says where a file lies, and
    a file that is moved holds the same pairs.
    """
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(split.encode())
        for row in rows[split]:
            digest.update("\x1f".join((row.query, row.positive, row.group, row.scope)).encode() + b"\x1e")
    return digest.hexdigest()[:16]


def _write(folder: Path, split: Split, rows: Sequence[Row]) -> SplitInfo:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in COLUMNS}
    path = folder / f"{split}.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=_ROW_GROUP)
    groups = len({row.group for row in rows})
    return SplitInfo(pairs=len(rows), groups=groups, files=(describe_file(path, len(rows)),))
