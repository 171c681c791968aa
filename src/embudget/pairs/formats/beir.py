"""Pairs in a folder as BEIR writes its benchmarks: documents, queries, and who judged which document relevant.

    corpus.jsonl        {"_id": "d1", "title": "...", "text": "..."}
    queries.jsonl       {"_id": "q1", "text": "..."}
    qrels/train.tsv     query-id  corpus-id  score      also dev.tsv and test.tsv

A document with a score above 0 is a positive of its query; its title and text are joined by a space. A document that
was judged and got 0 or less is a hard negative: somebody looked at it and found no answer. Only the documents that are
judged are kept in memory. The names of the qrels are the splits.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from embudget.errors import PairsError, first_line
from embudget.pairs.cells import BadRow, json_type, passage, score_of, text
from embudget.pairs.columns import Table
from embudget.pairs.formats.delimited import read_tsv
from embudget.pairs.formats.json_rows import rows_of_jsonl
from embudget.pairs.layouts import listed
from embudget.pairs.own_splits import choose_splits
from embudget.pairs.sources.base import RawPair

_CORPUS, _QUERIES, _QRELS = "corpus", "queries", "qrels"
_HEADER = ("query-id", "corpus-id", "score")
_Read = TypeVar("_Read")


class Qrel(NamedTuple):
    """A line of the qrels."""

    line: str
    """Its place, for messages."""
    query: str
    document: str
    score: float


def is_beir(path: Path) -> bool:
    """Whether a folder is meant to be one of BEIR: it holds two of the three parts."""
    return path.is_dir() and (path / _QRELS).is_dir() + sum(bool(_find(path, name)) for name in (_CORPUS, _QUERIES)) > 1


def beir_files(path: Path) -> list[Path]:
    """List the files of a folder of BEIR, for a hash.

    Raises:
        PairsError: a part is missing.
    """
    parts = {name: _find(path, name) for name in (_CORPUS, _QUERIES)}
    qrels = sorted((path / _QRELS).glob("*.tsv"))
    for missing in [f"{name}.jsonl" for name, file in parts.items() if file is None] or ["qrels/*.tsv"] * (not qrels):
        raise PairsError(
            f"{path}: {missing} is missing; a folder of BEIR holds corpus.jsonl, queries.jsonl and qrels/*.tsv"
        )
    return [*filter(None, parts.values()), *qrels]


def read_beir(path: Path, table: Table, *, resplit: bool) -> Iterator[RawPair]:
    """Read the pairs of all splits, test first.

    Args:
        path: the folder.
        table: collects what is passed over, and says whether bad rows may be.
        resplit: read the training split only, and leave it to embudget to make new ones.

    Raises:
        PairsError: a part is missing, or a line breaks a rule: a judgement names a document or a query that is not
            there, a score is no number, a query is empty, an identifier stands twice.
    """
    corpus, queries, *qrels = beir_files(path)
    chosen, left = choose_splits([file.stem for file in qrels], resplit=resplit)
    table.splits.update(dict.fromkeys(left))
    try:
        judged = {name: list(read_judgements(path / _QRELS / f"{name}.tsv", table)) for name, _ in chosen}
        every = [one for of_split in judged.values() for one in of_split]
        asked = read_texts(queries, table, query_of, {one.query for one in every})
        documents = read_texts(corpus, table, _document, {one.document for one in every})
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror or first_line(error)}") from None
    if not any(one.score > 0 for one in every):
        raise PairsError(f"{path} is empty: no document of its qrels has a score above 0")
    used = [file.relative_to(path).as_posix() for file in (corpus, queries)]
    table.layouts.setdefault("BEIR", {}).update(dict.fromkeys([*used, *(f"{_QRELS}/{name}.tsv" for name, _ in chosen)]))
    for name, split in chosen:
        named = known(path / _QRELS / f"{name}.tsv", judged[name], asked, documents, table)
        for pair in _pairs(named, asked, documents):
            yield pair._replace(split=split)


def known(
    path: Path, judged: Iterable[Qrel], queries: Collection[str], documents: Collection[str], table: Table
) -> Iterator[Qrel]:
    """Pass on the judgements whose query and document are there, and refuse the others."""
    for one in judged:
        if one.query not in queries:
            table.bad(f"{path} {one.line}", BadRow(f"query {listed([one.query])} is not in {_QUERIES}.jsonl"))
        elif one.document not in documents:
            table.bad(f"{path} {one.line}", BadRow(f"document {listed([one.document])} is not in {_CORPUS}.jsonl"))
        else:
            yield one


def _pairs(judged: Iterable[Qrel], queries: dict[str, str], documents: dict[str, str]) -> Iterator[RawPair]:
    positives: defaultdict[str, list[str]] = defaultdict(list)
    negatives: defaultdict[str, list[str]] = defaultdict(list)
    for one in judged:
        (positives if one.score > 0 else negatives)[one.query].append(documents[one.document])
    for query, found in positives.items():
        against = tuple(negatives.get(query, ()))
        yield from (RawPair(queries[query], positive, None, against) for positive in found)


def read_judgements(path: Path, table: Table, read_score: Callable[[Any, str], float] = score_of) -> Iterator[Qrel]:
    """Read a file of the qrels; ``read_score`` takes a score and the name of its column.

    Raises:
        PairsError: the header is another one, or ``table`` refuses a bad row.
        OSError: it cannot be read.
    """
    for line, record in read_tsv(path, table):
        try:
            if isinstance(record, BadRow):
                raise record
            if not set(_HEADER) <= set(record):
                raise PairsError(f"{path}: the header must be {', '.join(_HEADER)}, got {listed(list(record))}")
            query, document = str(record["query-id"]), str(record["corpus-id"])
            yield Qrel(line, query, document, read_score(record["score"], "score"))
        except BadRow as error:
            table.bad(f"{path} {line}", error)


def read_texts(
    path: Path, table: Table, read: Callable[[dict[str, Any]], _Read], wanted: Collection[str] | None = None
) -> dict[str, _Read]:
    """Read documents or queries by their identifiers: those that are wanted, or all of them.

    Raises:
        PairsError: ``table`` refuses a bad row, such as one whose identifier stands twice.
        OSError: the file cannot be read.
    """
    found: dict[str, _Read] = {}
    for line, record in rows_of_jsonl(path, table):
        try:
            if isinstance(record, BadRow):
                raise record
            name = record.get("_id")
            if not isinstance(name, str | int):
                raise BadRow(f"column '_id' must be a string, got {json_type(name)}")
            name = str(name)
            if name in found:
                raise BadRow(f"_id {listed([name])} stands twice")
            if wanted is None or name in wanted:
                found[name] = read(record)
        except BadRow as error:
            table.bad(f"{path} {line}", error)
    return found


def query_of(record: dict[str, Any]) -> str:
    """Take the text of a query.

    Raises:
        BadRow: it is no text, or an empty one.
    """
    found = text(record.get("text"), "text")
    if not found.strip():
        raise BadRow("the query is empty")
    return found


def _document(record: dict[str, Any]) -> str:
    return passage(record, _CORPUS)


def _find(path: Path, name: str) -> Path | None:
    files = (path / f"{name}.jsonl{ending}" for ending in ("", ".gz", ".bz2", ".xz"))
    return next((file for file in files if file.is_file()), None)
