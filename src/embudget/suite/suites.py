"""Which members does a suite have? A built-in name, a folder of model folders, a list in YAML, or several of these.

    smollm2             a built-in suite
    my-models/          every model folder in it
    family.yaml         a list of paths and hub ids, or {name: ..., members: [...]}; paths are relative to the file
    smollm2,minilm      several suites together

A list in YAML is for models that do not lie side by side:

    - ../checkpoints/small
    - ../checkpoints/large:6
    - Qwen/Qwen3-0.6B-Base
"""

from pathlib import Path
from typing import Any

from embudget.errors import ConfigError, ModelError, shortened
from embudget.reading import MOST_YAML_BYTES, parse_yaml, read_text
from embudget.suite.families import SUITES
from embudget.suite.members import find_shape, name_beside
from embudget.suite.shapes import ModelShape

_YAML = (".yaml", ".yml")


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
    found: dict[str, ModelShape] = {}
    for part in _parts(name):
        for place, member in enumerate(_names(part)):
            try:
                shape = find_shape(member)
            except ModelError as error:
                raise ModelError(f"{_where(part, place)}{error}") from None
            found.setdefault(shape.name, shape)
    return tuple(sorted(found.values(), key=lambda shape: shape.model_params))


def suite_names(name: str) -> tuple[str, ...]:
    """The names of the members of one suite, or of several, each once, as `find_suite` takes them.

    Raises:
        ModelError: there is no such suite, or nothing in it.
    """
    return tuple(dict.fromkeys(member for part in _parts(name) for member in _names(part)))


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


def _names(name: str) -> tuple[str, ...]:
    """The members of one suite."""
    if name in SUITES:
        return SUITES[name]
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
    return tuple(names)


def _listed(file: Path) -> tuple[str, ...]:
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
    for place, entry in enumerate(content):
        if not isinstance(entry, str) or not entry.strip():
            raise ModelError(f"{_where(str(file), place)}must be a path, a hub id or a built-in name, got {entry!r}")
    return tuple(name_beside(file.parent, entry.strip()) for entry in content)


def _where(part: str, place: int) -> str:
    """Where a member is named, for a message: a file's entry; the members of other suites are blamed by their names."""
    return f"{part}: entry {place + 1}: " if part.endswith(_YAML) else ""
