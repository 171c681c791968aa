"""Which model does a name stand for? Answered by sizes alone, without loading weights.

A name is that of a built-in checkpoint (`pythia-70m`), a local folder, or a hub id, looked up in this order. It may end
in `:K` for the first K blocks (`smollm2-135m:8`). A folder that has a built-in's name is written `./pythia-70m`.

A folder has one canonical name however it was written: its absolute path, links followed. It is what a shape is called,
so that a study, its records and a recipe mean the same folder from wherever they are read.
"""

import re
from difflib import get_close_matches
from pathlib import Path

from embudget.errors import ModelError, first_line, shortened
from embudget.reading import read_json
from embudget.suite.families import SHAPES, SUITES
from embudget.suite.shapes import ModelShape, shape_of_config
from embudget.suite.unsupported import read_description

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""owner/name."""


def split_depth(name: str) -> tuple[str, int | None]:
    """Split ``NAME:K`` into the name and the depth, which is None where none is given.

    Raises:
        ModelError: the depth is not a whole number.
    """
    base, colon, depth = name.rpartition(":")
    if not colon or (base not in SHAPES and _folder(name) is not None):
        return name, None
    if not depth.isdecimal():
        raise ModelError(f"depth must be a whole number as in smollm2-135m:8, got {name!r}")
    return base, int(depth)


def local_folder(base: str) -> Path | None:
    """The folder that a name without a depth stands for, absolute; None for a built-in name or a hub id."""
    return _folder(base) if base not in SHAPES else None


def name_beside(here: Path, name: str) -> str:
    """A name that stands in a file, whose folder is ``here``: of a folder beside the file its path, else itself."""
    if name in SHAPES or name in SUITES or name.startswith(("/", "~")):
        return name
    base, colon, depth = name.rpartition(":")
    if base in SHAPES:
        return name
    beside = here.resolve() / name
    folder = beside if not depth.isdecimal() or beside.is_dir() or not colon else here.resolve() / base
    return str(beside) if is_path(name) or _folder(str(folder)) is not None else name


def is_path(name: str) -> bool:
    """Whether a name can only be a path, because it begins as one: `/`, `./`, `../` or `~`."""
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..")


def _folder(name: str) -> Path | None:
    """A folder by its absolute path, links followed; None where there is none of this name."""
    try:
        path = Path(name).expanduser()
        return path.resolve() if name and path.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, a user without a home, a null character
        return None


def _canonical(folder: Path, shape: ModelShape) -> str:
    """A folder's canonical name. One that looks as if it ended in a depth gets its whole depth behind it."""
    _, colon, end = folder.name.rpartition(":")
    return f"{folder}:{shape.layers}" if colon and end.isdecimal() else str(folder)


def find_shape(name: str) -> ModelShape:
    """Find the shape of a built-in checkpoint, a local folder or a hub id, cut to its depth where one is given.

    Only a hub id needs the network, for the checkpoint's config.json.

    Raises:
        ModelError: nothing has this name, its configuration cannot be used, or the depth is out of range.

    Example:
        >>> eb.find_shape("smollm2-135m:8").model_params  # N of the first 8 blocks
        28321344
    """
    base, depth = split_depth(name)
    folder = local_folder(base)
    if base in SHAPES:
        shape = SHAPES[base]
    elif folder is not None:
        shape = _shape_of_file(folder / "config.json", str(folder))
        if depth is None:
            return shape.model_copy(update={"name": _canonical(folder, shape)})
    elif is_path(base):
        raise ModelError(f"there is no model folder {shortened(base, 80)}")
    elif _HUB_ID.fullmatch(base):
        shape = _shape_of_file(hub_config(base, None), base).model_copy(update={"hub_id": base})
    else:
        similar = "".join(f"; did you mean {close}?" for close in get_close_matches(base, SHAPES, n=1))
        raise ModelError(
            "model must be a built-in name (see `embudget suite list`), a local folder or a hub id, got "
            f"{shortened(base, 80)!r}{similar}"
        )
    return shape if depth is None else shape.truncated(depth)


def is_hub_id(name: str) -> bool:
    """Whether a name, perhaps with a depth, has the form of a checkpoint on the hub: owner/name."""
    base, _, depth = name.partition(":")
    return _HUB_ID.fullmatch(base) is not None and (not depth or depth.isdecimal())


def known_shape(name: str) -> ModelShape | None:
    """The shape of a built-in checkpoint or a local folder; None for any other name. Never asks the hub.

    For tables of other people's runs, whose models may be called anything.
    """
    try:
        base, _ = split_depth(name)
        return find_shape(name) if base in SHAPES or local_folder(base) is not None else None
    except (ModelError, OSError, ValueError):  # a name of 5,000 characters is an OSError to the file system
        return None


def suite_names(name: str) -> tuple[str, ...]:
    """The names of the members of a built-in suite, or of a folder of model folders.

    Raises:
        ModelError: there is no such suite, or nothing in it.
    """
    folder = _folder(name) if name not in SUITES else None
    if name in SUITES:
        return SUITES[name]
    # a dot in front marks a folder that was being written when its process was killed
    names = [str(one.parent) for one in sorted(folder.glob("*/config.json"))] if folder is not None else []
    names = [one for one in names if not Path(one).name.startswith(".")]
    if not names:
        raise ModelError(f"suite must be one of {', '.join(SUITES)} or a folder of models, got {shortened(name, 80)!r}")
    return tuple(names)


def find_suite(name: str) -> tuple[ModelShape, ...]:
    """Find the members of a built-in suite, or of a folder of model folders, smallest first.

    Raises:
        ModelError: there is no such suite.

    Example:
        >>> [shape.name for shape in eb.find_suite("micro")]
        ['micro-200k', 'micro-450k', 'micro-1m', 'micro-3m']
    """
    return tuple(sorted(map(find_shape, suite_names(name)), key=lambda shape: shape.model_params))


def hub_config(hub_id: str, revision: str | None) -> Path:
    """Fetch a checkpoint's config.json from the hub into the local cache, into a folder that has the commit's name.

    Raises:
        ModelError: the hub has no such checkpoint or does not answer, or its client is not installed.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ModelError(f"{hub_id} is on the hub, which needs `pip install embudget[train]`") from None
    try:
        return Path(hf_hub_download(hub_id, "config.json", revision=revision))
    except (OSError, ValueError) as error:
        said = first_line(error)
        raise ModelError(f"{hub_id} is neither a folder nor can it be read from the hub: {said}") from None


def hub_file(hub_id: str, name: str) -> Path | None:
    """Fetch a small file of a checkpoint from the hub; None where it has none, or none is in the cache offline."""
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(hub_id, name))
    except (ImportError, OSError, ValueError):
        return None


def _shape_of_file(path: Path, name: str) -> ModelShape:
    if not path.exists():
        if (path.parent / "adapter_config.json").exists():
            raise ModelError(f"{name} holds an adapter alone: merge it into its base model, and give that folder")
        raise ModelError(f"a model folder holds config.json, got {name!r} without one")
    config = read_json(path, ModelError)
    if not isinstance(config, dict):
        raise ModelError(f"{path}: must hold an object, got {type(config).__name__}")
    return shape_of_config(config, name, read_description(path.parent))
