"""Retrieval data of a user's own: a folder in the layout of BEIR, or the test split of a folder of text pairs.

    BEIR     corpus.jsonl    {"_id": ..., "title": ..., "text": ...} a document (title may be absent)
             queries.jsonl   {"_id": ..., "text": ...} a query
             qrels/test.tsv  query-id, corpus-id, score: which documents are right for which query

    pairs    the first 2,000 test pairs, as `embudget evaluate` takes them: each distinct query ranks the distinct
             positives

A document that is the query itself is no candidate: with pairs the query's own text, with BEIR one of the query's id
where all documents that share an id with a query share its text too (as in ArguAna; elsewhere equal ids mean nothing).
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from embudget.errors import ConfigError, PairsError, first_line, shortened
from embudget.evaluation.evaluate import MAX_QUERIES
from embudget.pairs import load_pairs
from embudget.pairs.cells import BadRow, text
from embudget.pairs.columns import Table
from embudget.pairs.formats.beir import known, query_of, read_judgements, read_texts

MOST_RELEVANT = 1000
"""The largest score of a document. Scales in use end at 1 to 5; pytrec_eval counts one of 2 ** 31 as wrong."""
_WHOLE = re.compile(r"-?[0-9]{1,9}")
FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


class RetrievalData(NamedTuple):
    """Queries, documents, and which belong together."""

    queries: dict[str, str]
    """Id -> text, of queries with at least one right document."""
    documents: dict[str, tuple[str, str]]
    """Id -> title, perhaps empty, and text."""
    relevant: dict[str, dict[str, int]]
    """Query -> document -> how relevant, 0 and up; a score below 0, which marks spam in some TREC data, is 0."""
    ids_are_texts: bool
    """Whether a query and a document of one id are the same text, so that one is no answer to the other."""


def read_retrieval(folder: Path) -> RetrievalData:
    """Read either layout, recognised by the files in the folder.

    Raises:
        ConfigError: it is neither, or a file of it breaks a rule.
        PairsError: it is a folder of pairs that cannot be used.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; a retrieval task is one of BEIR's layout, or of text pairs")
    if (folder / FILES[0]).exists() or (folder / FILES[1]).exists():
        return _of_beir(folder)
    if any(folder.glob("test*.parquet")):
        return _of_pairs(folder)
    raise ConfigError(f"{folder} holds neither {', '.join(FILES)}, as BEIR has them, nor text pairs with a test split")


def _of_pairs(folder: Path) -> RetrievalData:
    table = load_pairs(folder).head("test", MAX_QUERIES)
    asked, answers = table["query"].to_pylist(), table["positive"].to_pylist()
    ids = {text: f"t{number}" for number, text in enumerate(dict.fromkeys([*asked, *answers]))}
    relevant: dict[str, dict[str, int]] = {}
    for query, answer in zip(asked, answers, strict=True):
        if query != answer:
            relevant.setdefault(ids[query], {})[ids[answer]] = 1
    if len(set(answers)) < 2 or not relevant:
        raise ConfigError(f"{folder} must hold at least 2 distinct test positives, got {len(set(answers))}")
    queries = {ids[text]: text for text in dict.fromkeys(asked) if ids[text] in relevant}
    return RetrievalData(queries, {ids[text]: ("", text) for text in dict.fromkeys(answers)}, relevant, True)


class _Strict(Table):
    """Refuses the first bad row, since a benchmark without it would be another one."""

    def bad(self, place: str, error: BadRow) -> None:
        raise ConfigError(f"{place}: {error}") from None


def _of_beir(folder: Path) -> RetrievalData:
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise ConfigError(f"{folder} lacks {missing[0]}; BEIR's layout is {', '.join(FILES)}")
    corpus, queries, qrels = (folder / name for name in FILES)
    table = _Strict()
    try:
        documents = read_texts(corpus, table, _title_and_text)
        asked = read_texts(queries, table, _query)
        if len(documents) < 2:
            raise ConfigError(f"{corpus} must hold at least 2 documents to rank, got {len(documents)}")
        if not asked:
            raise ConfigError(f"{queries} holds no rows")
        relevant = _qrels(qrels, asked, documents, table)
    except PairsError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"cannot read {folder}: {error.strerror or first_line(error)}") from None
    same = [asked[key] == documents[key][1] for key in asked if key in documents]
    return RetrievalData({key: asked[key] for key in relevant}, documents, relevant, bool(same) and all(same))


def _title_and_text(record: dict[str, Any]) -> tuple[str, str]:
    text(str(record["_id"]), "_id")
    title = record.get("title")
    return "" if title is None else text(title, "title"), text(record.get("text"), "text")


def _query(record: dict[str, Any]) -> str:
    text(str(record["_id"]), "_id")  # mteb writes it, unlike `pairs`, which drops it
    return query_of(record)


def _qrels(path: Path, queries: Collection[str], documents: Collection[str], table: Table) -> dict[str, dict[str, int]]:
    relevant: dict[str, dict[str, int]] = {}
    for one in known(path, read_judgements(path, table, _relevance), queries, documents, table):
        right, found = relevant.setdefault(one.query, {}), max(0, int(one.score))
        if right.setdefault(one.document, found) != found:
            pair = f"{shortened(one.query, 40)} and {shortened(one.document, 40)}"
            table.bad(f"{path} {one.line}", BadRow(f"{pair} are scored otherwise than in an earlier row"))
    relevant = {query: right for query, right in relevant.items() if any(right.values())}
    if not relevant:
        raise ConfigError(f"{path} names no document with a score above 0")
    return relevant


def _relevance(value: Any, column: str) -> int:  # noqa: ANN401 - whatever the file held
    found = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) else MOST_RELEVANT + 1
    if found > MOST_RELEVANT:
        got = shortened(repr(value), 40)
        raise BadRow(f"{column} must be a whole number up to {MOST_RELEVANT}, got {got}")
    return found
