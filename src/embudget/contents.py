"""What does a file hold that an output would replace? Told by its bytes and its name, so that no other work is lost.

Replacing a file that the user names is what all tools do, and embudget does so too, with one limit: the old file must
hold the same sort of thing as the new one, or text that is not recognised. A recipe never replaces laws, a page never
replaces a study. What embudget writes for users is text, so a file that is not text, such as a store, a Parquet file or
weights, is never replaced.
"""

import re
from pathlib import Path

SQLITE = b"SQLite format 3\0"
LISTING = "embudget-files.json"
"""Lists the files of a folder that embudget wrote, see `embudget.owned`."""

DATABASE, BINARY, PART = "a SQLite database", "a binary file", "part of a folder that embudget wrote"
LAWS, RECIPE, STUDY, WORLD = "laws", "a recipe", "a study", "a world to simulate"
TABLE, PAGE, PAIRS, RECORD = "a table", "a web page", "the description of pairs", "the record of a model"

_READ = 2**20
"""A MiB is enough: what tells one sort from another stands near the beginning."""
_IN_JSON: dict[str, tuple[str, ...]] = {
    LAWS: ("format_version",),
    RECIPE: ("predicted_loss", "method"),
    PAIRS: ("splits", "request"),
    RECORD: ("config", "status"),
}
_IN_YAML: dict[str, tuple[str, ...]] = {
    RECIPE: ("predicted_loss", "method"),
    WORLD: ("truth", "budgets"),
    STUDY: ("methods", "budgets"),
}
_TABLES = (".csv", ".tsv", ".jsonl")


def contents_of(path: Path) -> str | None:
    """What an existing file holds, in words; None for text of no sort that is known.

    Raises:
        OSError: the file cannot be read.
    """
    if is_database(path):
        return DATABASE
    with path.open("rb") as file:
        start = file.read(_READ)
    listing = path.with_name(LISTING)
    if path != listing and listing.is_file() and f'"{path.name}"' in listing.read_text("utf-8", "replace"):
        return PART
    return recognise(start, path.suffix)


def is_database(path: Path) -> bool:
    """Whether a file is a SQLite database, or the log that SQLite keeps beside one."""
    owner = path.with_name(re.sub(r"-(wal|shm|journal)$", "", path.name))
    return any(_begins(file, SQLITE) for file in (path, owner))


def _begins(path: Path, start: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(start)) == start


def recognise(start: bytes, suffix: str) -> str | None:
    """What a text that starts so holds, in a file whose name ends in ``suffix``; None where it is not known."""
    if b"\0" in start:
        return BINARY
    text = start.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("{"):
        keys, sorts = set(re.findall(r'"(\w+)"\s*:', text)), _IN_JSON
    else:
        keys, sorts = set(re.findall(r"^(\w+):", text, re.MULTILINE)), _IN_YAML
    for sort, needed in sorts.items():
        if keys.issuperset(needed):
            return sort
    if re.match(r"<(!doctype|html)", text, re.IGNORECASE):
        return PAGE
    header = {name.strip().strip('"') for name in text.partition("\n")[0].split(",")}
    return TABLE if suffix.lower() in _TABLES or {"model_params", "loss"} <= header else None
