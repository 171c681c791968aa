"""What a user hands in, read in one place each: text files, YAML and JSON (numbers: `embudget.number`).

Whatever is wrong becomes one line: which file, which rule, and where. Nothing that is read can run code, hang, or take
longer to read than a few seconds, because size and nesting are bounded before anything is built of them.

YAML is read as PyYAML's safe loader does (1.1: `yes` is a bool, and `1e12` a text that a field of numbers takes), with
these rules of ours: keys are unique; a date stays text, since no field is one; of tags only those of plain values are
known; anchors may repeat a part, but not multiply it.
"""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from embudget.errors import ConfigError, EmbudgetError, shortened

MOST_BYTES = 512 * 2**20
"""Size of a text file that is read at all: laws of 100,000 cells take a tenth of it."""
MOST_YAML_BYTES, MOST_YAML_VALUES = 4 * 2**20, 200_000
"""YAML is parsed at about 1 MB a second, so that these take some 2 s. A study of 1,000 members takes 50 kB."""
MOST_DEPTH = 64
"""How deep lists and mappings in YAML may lie in each other; ours lie 4 deep."""
_TAGS = {"!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map"))}


def read_text(path: str | Path, most: int = MOST_BYTES, kind: type[EmbudgetError] = ConfigError) -> str:
    """Read a UTF-8 text file that the user named; a byte order mark at its start is dropped.

    Args:
        path: the file.
        most: bytes above which it is refused unread.
        kind: which error to raise.

    Raises:
        ConfigError: it is missing, not readable, too large, not UTF-8, or no regular file (a folder, a pipe, a device).
    """
    path = Path(path)
    try:
        check_regular(path)
        if (size := path.stat().st_size) > most:
            raise kind(f"{path}: {size / 1e6:.4g} MB, more than the {most / 1e6:.3g} MB that are read")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise kind(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise kind(f"{path}: not a UTF-8 text file") from None
    except ValueError as error:  # a name with a NUL, or of letters that no file system has
        raise kind(f"cannot read {str(path)!r}: {error}") from None


def check_regular(path: Path) -> None:
    """Refuse what is no regular file before it is opened, since opening a pipe waits for a writer.

    Raises:
        OSError: it is a folder, a pipe, a device or a socket, or it is missing.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(None, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(None, "it is no regular file: write what it gives to one first")


def read_yaml(path: str | Path, what: str) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping; messages call it ``what``, as in "a study (members, methods, ...)".

    Raises:
        ConfigError: it cannot be read, is not YAML, names a key twice, or holds something else.
    """
    data = parse_yaml(read_text(path, MOST_YAML_BYTES), str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold {what}, got {_kind_of(data)}")
    for key in data:
        if not isinstance(key, str):
            raise ConfigError(f"{path} must hold {what}, got the key {key!r}, which is no text")
    return data


def parse_yaml(text: str, source: str) -> Any:  # noqa: ANN401 - whatever the text says
    """The value of a YAML text; ``source`` begins the messages.

    Raises:
        ConfigError: it is not YAML, holds several documents, names a key twice, or is too deep or too large.
    """
    import yaml

    try:
        _check_events(yaml.parse(text, Loader=_yaml_loader()), source)
        loader = _yaml_loader()(text)
        root = loader.get_single_node()
        if root is None:
            return None
        for node in _nodes(root):
            if isinstance(node, yaml.MappingNode):
                _check_keys(node, source)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{source}: not valid YAML: {where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        # PyYAML lets these through, as for an integer of 5,000 digits or "!!bool maybe"
        raise ConfigError(f"{source}: not valid YAML: a value cannot be read: {shortened(str(error), 80)}") from None


def _yaml_loader() -> Any:  # noqa: ANN401 - a class made of PyYAML's untyped ones
    """PyYAML's safe loader, in C where it is there, that leaves dates as text."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    timestamp = "tag:yaml.org,2002:timestamp"
    resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag != timestamp]
        for first, pairs in base.yaml_implicit_resolvers.items()
    }
    return type("Loader", (base,), {"yaml_implicit_resolvers": resolvers})


def _check_events(events: Iterator[Any], source: str) -> None:
    """Refuse what would take too long or too much memory, without building anything of it."""
    import yaml

    depth = values = repeated = 0
    within: list[tuple[str | None, int]] = []  # anchors of the open lists and mappings, and the values before them
    sizes: dict[str, int] = {}  # values that an anchor stands for
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ConfigError(f"{source}: line {line}: *{event.anchor} stands for nothing, or for itself")
            repeated += sizes[event.anchor]
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            tag = getattr(event, "tag", None)
            if tag is not None and tag not in _TAGS:
                raise ConfigError(f"{source}: line {line}: unknown tag {shortened(str(tag), 40)}: leave it out")
            if isinstance(event, yaml.ScalarEvent):
                sizes |= {event.anchor: 1} if event.anchor else {}
            else:
                depth += 1
                within.append((event.anchor, values + repeated))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            anchor, before = within.pop()
            sizes |= {anchor: values + repeated - before + 1} if anchor else {}
        if depth > MOST_DEPTH:
            raise ConfigError(f"{source}: line {line}: lists and mappings lie more than {MOST_DEPTH} deep")
        if values + repeated > MOST_YAML_VALUES:
            raise ConfigError(f"{source}: line {line}: more than {MOST_YAML_VALUES:,} values, those of * counted")


def _nodes(root: Any) -> Iterator[Any]:  # noqa: ANN401 - PyYAML's nodes
    """Every node once."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node.value, list):
            for one in node.value:
                waiting += one if isinstance(one, tuple) else [one]


def _check_keys(node: Any, source: str) -> None:  # noqa: ANN401 - PyYAML's node
    """Refuse a mapping that names a key twice, of which YAML would silently take the last."""
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key.value, str):
            raise ConfigError(f"{source}: line {key.start_mark.line + 1}: a key must be a plain value")
        said = (key.tag, key.value)
        if said in seen:
            raise ConfigError(f"{source}: line {key.start_mark.line + 1}: {shortened(key.value, 60)} is there twice")
        seen.add(said)


def read_json(path: str | Path, kind: type[EmbudgetError] = ConfigError) -> Any:  # noqa: ANN401 - whatever it holds
    """Read a JSON file.

    Raises:
        ConfigError, or ``kind``: it cannot be read, is not JSON, or names a key twice.
    """
    return parse_json(read_text(path, kind=kind), str(path), kind)


def parse_json(text: str | bytes, source: str, kind: type[EmbudgetError] = ConfigError) -> Any:  # noqa: ANN401
    """The value of a JSON text; ``source`` begins the messages.

    Raises:
        ConfigError, or ``kind``: it is not JSON (NaN and Infinity are not), is nested too deeply, or names a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise kind(f"{source}: not valid JSON, perhaps cut short: line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise kind(f"{source}: not valid JSON: it is nested too deeply") from None
    except (ValueError, TypeError) as error:
        reason = "a number has too many digits" if "integer string" in str(error) else shortened(str(error), 80)
        raise kind(f"{source}: not valid JSON: {reason}") from None


def read_json_lines(path: str | Path, kind: type[EmbudgetError] = ConfigError) -> list[dict[str, Any]]:
    """Read a file of JSON Lines: one object a line, blank lines aside. NaN and Infinity are read: loggers write them.

    Raises:
        ConfigError, or ``kind``: it cannot be read, or a line is no JSON object, is nested too deeply, or names a key
            twice; the line is named.
    """
    rows = []
    for number, line in enumerate(read_text(path, kind=kind).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=unique_keys)
        except json.JSONDecodeError as error:
            raise kind(f"{path}: line {number}: not valid JSON: {error.msg}") from None
        except (ValueError, RecursionError) as error:
            raise kind(f"{path}: line {number}: not valid JSON: {shortened(str(error), 80)}") from None
        if not isinstance(row, dict):
            raise kind(f"{path}: line {number}: must hold one JSON object, got {_kind_of(row)}")
        rows.append(row)
    return rows


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its keys and values, for `json.loads`.

    Raises:
        ValueError: a key is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"{shortened(twice, 60)} is there twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _kind_of(data: Any) -> str:  # noqa: ANN401 - whatever a file held
    names = {"NoneType": "nothing", "str": "text", "list": "a list", "int": "a number", "float": "a number"}
    return names.get(type(data).__name__, type(data).__name__)
