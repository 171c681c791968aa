"""Which members does a suite have? A built-in name, a folder of model folders, a list in YAML, or several of these.

    smollm2             a built-in suite
    my-models/          every model folder in it
    family.yaml         a list of paths and hub ids, or {name: ..., members: [...]}; paths are relative to the file
    smollm2,minilm      several suites together

A list in YAML is for models that do not lie side by side:

    - ../checkpoints/small
    - ../checkpoints/large:6
    - Qwen/Qwen3-0.6B-Base

A list names a model once, in whatever spelling. Suites that are given together may overlap, and have each model once.
"""

from pathlib import Path
from typing import Any, NamedTuple

from embudget.errors import ConfigError, ModelError, shortened
from embudget.reading import MOST_YAML_BYTES, parse_yaml, read_text
from embudget.suite.families import SUITES
from embudget.suite.members import find_shape, name_beside, same_model
from embudget.suite.shapes import ModelShape

_YAML = (".yaml", ".yml")


class Entry(NamedTuple):
    """A member as a suite or a study names it."""

    name: str
    where: str = ""
    """How a message about it begins: with a list's file and the place in it. Empty where the name alone says enough."""


def find_suite(name: str) -> tuple[ModelShape, ...]:
    """Find the members of one suite, or of several that are separated by commas, smallest first.

    Args:
        name: a built-in suite, a folder of model folders, a YAML file that lists members, or several of these.

    Raises:
        ModelError: there is no such suite, or one of its members cannot be used; of a file's, the entry is named.

    Example:
        >>> [shape.name for shape in eb.find_suite("micro")]
        ['micro-200k', 'micro-450k', 'micro-1m', 'micro-3m']
    """
    found = []
    for entry in suite_entries(name):
        try:
            found.append(find_shape(entry.name))
        except ModelError as error:
            raise ModelError(f"{entry.where}{error}") from None
    return tuple(sorted(found, key=lambda shape: shape.model_params))


def suite_entries(name: str) -> tuple[Entry, ...]:
    """The members that one suite names, or several, each model once; none is looked up.

    Raises:
        ModelError: there is no such suite, nothing in it, or a list names a model twice.
    """
    found: dict[object, Entry] = {}
    for part in _parts(name):
        for entry in _entries(part):
            found.setdefault(same_model(entry.name), entry)
    return tuple(found.values())


def suite_beside(here: Path, name: str) -> str:
    """A suite that a file names, whose folder is ``here``: folders and lists beside the file become their paths."""
    return ",".join(part if part in SUITES else _path_beside(here, part) for part in _parts(name))


def _path_beside(here: Path, part: str) -> str:
    beside = here.resolve() / part
    return str(beside) if part.endswith(_YAML) and beside.is_file() else name_beside(here, part)


def _parts(name: str) -> list[str]:
    """The suites that a name lists; a folder or file whose name has a comma is itself."""
    if "," not in name or _is_there(name):
        return [name]
    parts = [part.strip() for part in name.split(",")]
    if not all(parts):
        raise ModelError(f"suites must be separated by single commas as in smollm2,minilm, got {shortened(name, 80)!r}")
    return list(dict.fromkeys(parts))


def _is_there(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long a name, a user without a home, a null character
        return False


def _entries(name: str) -> tuple[Entry, ...]:
    """The members that one suite names."""
    if name in SUITES:
        return tuple(map(Entry, SUITES[name]))
    if name.endswith(_YAML):
        return _listed(Path(name).expanduser())
    folder = Path(name).expanduser() if name and _is_there(name) else None
    found = sorted(folder.resolve().glob("*/config.json")) if folder is not None and folder.is_dir() else []
    # a dot in front marks a folder that was being written when its process was killed
    names = [str(one.parent) for one in found if not one.parent.name.startswith(".")]
    if not names:
        raise ModelError(
            f"suite must be one of {', '.join(SUITES)}, a folder of models, or a YAML file that lists members, got "
            f"{shortened(name, 80)!r}"
        )
    return tuple(map(Entry, names))


def _listed(file: Path) -> tuple[Entry, ...]:
    """The members that a YAML file lists, with paths relative to it."""
    try:
        content: Any = parse_yaml(read_text(file, MOST_YAML_BYTES), str(file))
    except ConfigError as error:
        raise ModelError(str(error)) from None
    if isinstance(content, dict):
        if unknown := sorted(map(str, set(content) - {"name", "members"})):
            raise ModelError(f"{file}: a suite has name and members, got {shortened(unknown[0], 60)}")
        content = content.get("members")
    if not isinstance(content, list) or not content:
        raise ModelError(f"{file}: must list members: paths of model folders, hub ids or built-in names")
    found: dict[object, Entry] = {}
    for place, text in enumerate(content, start=1):
        where = f"{file}: entry {place}: "
        if not isinstance(text, str) or not text.strip():
            raise ModelError(f"{where}must be a path, a hub id or a built-in name, got {shortened(repr(text), 80)}")
        entry = Entry(name_beside(file.parent, text.strip()), where)
        try:
            model = same_model(entry.name)
        except ModelError as error:
            raise ModelError(f"{where}{error}") from None
        if model in found:
            raise ModelError(f"{where}{found[model].name} and {entry.name} are the same model: name it once")
        found[model] = entry
    return tuple(found.values())
