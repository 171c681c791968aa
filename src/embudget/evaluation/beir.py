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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from embudget.errors import ConfigError, shortened
from embudget.evaluation.evaluate import MAX_QUERIES
from embudget.evaluation.tables import read_table
from embudget.pairs import load_pairs
from embudget.pairs.cells import BadRow, text
from embudget.reading import read_json_lines

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


def _of_beir(folder: Path) -> RetrievalData:
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise ConfigError(f"{folder} lacks {missing[0]}; BEIR's layout is {', '.join(FILES)}")
    documents = {key: (_text(row, "title"), _text(row, "text")) for key, row in _by_id(folder / FILES[0]).items()}
    asked = {key: _text(row, "text") for key, row in _by_id(folder / FILES[1]).items()}
    for key, query in asked.items():
        if not query.strip():
            raise ConfigError(f"{folder / FILES[1]}: the query {shortened(key, 40)} is empty")
    if len(documents) < 2:
        raise ConfigError(f"{folder / FILES[0]} must hold at least 2 documents to rank, got 1")
    relevant = _qrels(folder / FILES[2], asked, documents)
    same = [asked[key] == documents[key][1] for key in asked if key in documents]
    return RetrievalData({key: asked[key] for key in relevant}, documents, relevant, bool(same) and all(same))


def _by_id(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(read_json_lines(path), start=1):
        key = row.get("_id")
        if not isinstance(key, str | int) or not isinstance(row.get("text"), str):
            raise ConfigError(f"{path}: row {number} must have _id and text, got {shortened(', '.join(row), 60)}")
        try:
            for name in ("_id", "text", "title"):
                text("" if row.get(name) is None else str(row[name]) if name == "_id" else row[name], name)
        except BadRow as error:
            raise ConfigError(f"{path}: row {number}: {error}") from None
        if str(key) in found:
            raise ConfigError(f"{path}: row {number}: the _id {shortened(str(key), 40)} is there twice")
        found[str(key)] = row
    if not found:
        raise ConfigError(f"{path} holds no rows")
    return found


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _qrels(
    path: Path, queries: Mapping[str, str], documents: Mapping[str, tuple[str, str]]
) -> dict[str, dict[str, int]]:
    table = read_table(path)
    if not {"query-id", "corpus-id", "score"} <= set(table):
        raise ConfigError(f"{path} must begin with query-id, corpus-id, score, got {shortened(', '.join(table), 60)}")
    relevant: dict[str, dict[str, int]] = {}
    for number, (query, document, score) in enumerate(
        zip(table["query-id"], table["corpus-id"], table["score"], strict=True), start=1
    ):
        for key, known, what in ((query, queries, "query"), (document, documents, "document")):
            if key not in known:
                raise ConfigError(
                    f"{path}: row {number} names the {what} {shortened(str(key), 40)}, which is not there"
                )
        found = int(score) if isinstance(score, str) and _WHOLE.fullmatch(score.strip()) else MOST_RELEVANT + 1
        if found > MOST_RELEVANT:
            got = shortened(repr(score), 40)
            raise ConfigError(f"{path}: row {number}: score must be a whole number up to {MOST_RELEVANT}, got {got}")
        right = relevant.setdefault(query, {})
        if right.setdefault(document, max(0, found)) != max(0, found):
            pair = f"{shortened(query, 40)} and {shortened(document, 40)}"
            raise ConfigError(f"{path}: row {number} scores {pair} otherwise than an earlier row")
    relevant = {query: right for query, right in relevant.items() if any(right.values())}
    if not relevant:
        raise ConfigError(f"{path} names no document with a score above 0")
    return relevant
