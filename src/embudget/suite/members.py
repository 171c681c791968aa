"""Which model does a name stand for? Answered by sizes alone, without loading weights.

A name is that of a built-in checkpoint (`pythia-70m`), a local folder, or a hub id, looked up in this order. It may end
in `:K` for the first K blocks (`smollm2-135m:8`). A folder that has a built-in's name is written `./pythia-70m`.

A built-in checkpoint has one canonical name however it was written: its name here, in any case, or its id on the hub
(`EleutherAI/pythia-70m`) are the same member, in studies, records and tables.

A folder has one canonical name however it was written: its absolute path, links followed. It is what a shape is called,
so that a study, its records and a recipe mean the same folder from wherever they are read. A folder at a URL
(`s3://bucket/model`, `s3://bucket/model:8`) is called by its URL, fetched once a machine, and is then like any other.
"""

import re
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from embudget.errors import ModelError, RemoteError, shortened
from embudget.reading import read_json
from embudget.remote import check_secrets, fetch_folder, fetched_before, is_url
from embudget.suite.dense import check_chain
from embudget.suite.families import SHAPES, STARTS
from embudget.suite.hub import hub_config, hub_file
from embudget.suite.shapes import ModelShape, shape_of_config
from embudget.suite.starts import PooledBy, Start, pooling_word, read_start
from embudget.suite.unsupported import read_description

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""owner/name."""

_BUILT_IN = {text.lower(): name for name, shape in SHAPES.items() for text in (shape.hub_id or name, name)}
_BUILT_IN |= {text.rpartition("/")[2]: name for text, name in _BUILT_IN.items() if "/" in text} | _BUILT_IN
"""The built-in checkpoints by their names and hub ids, and by the latter without the owner, in lower case."""


def split_depth(name: str) -> tuple[str, int | None]:
    """Split ``NAME:K`` into the canonical name and the depth, which is None where none is given.

    Raises:
        ModelError: the depth is not a whole number.

    Example:
        >>> split_depth("EleutherAI/pythia-70m:2")
        ('pythia-70m', 2)
    """
    base, colon, depth = name.rpartition(":")
    if is_url(name):
        cut = is_url(base) and depth.isdecimal()
        return check_secrets(base if cut else name), int(depth) if cut else None
    if not colon or (base not in SHAPES and _folder(name) is not None):
        return canonical_base(name), None
    if not depth.isdecimal():
        raise ModelError(f"depth must be a whole number as in smollm2-135m:8, got {name!r}")
    return canonical_base(base), int(depth)


def canonical_base(base: str) -> str:
    """Our name of a built-in checkpoint for any spelling of it, its hub id too; any other name is left as it is.

    A folder that exists stands for itself, unless it has exactly a built-in's name.
    """
    return base if base in SHAPES or _folder(base) is not None else _BUILT_IN.get(base.lower(), base)


def same_model(name: str) -> tuple[str, int | None]:
    """What all spellings of a member have in common: its canonical name, a folder's being its path, and its depth.

    Nothing is read for it, so that a folder and its copy are two.

    Raises:
        ModelError: the depth is not a whole number.
    """
    base, depth = split_depth(name)
    return base if is_url(base) else str(local_folder(base) or base), depth


def local_folder(base: str) -> Path | None:
    """The folder that a name without a depth stands for, absolute; None for a built-in name or a hub id.

    Raises:
        RemoteError: it is a URL, and the folder there cannot be fetched.
    """
    if is_url(base):
        return _fetched(base)
    return _folder(base) if base not in SHAPES else None


@lru_cache(maxsize=64)
def _fetched(url: str) -> Path:
    """The model at a URL: in one process the same one to the end, whatever is put there meanwhile."""
    return fetch_folder(url)


def name_beside(here: Path, name: str) -> str:
    """A name that stands in a file, whose folder is ``here``: of a folder beside the file its path, else itself."""
    if name in SHAPES or name.startswith(("/", "~")) or is_url(name):
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
        named = base if is_url(base) else str(folder)
        shape = _begun(_shape_of_file(folder / "config.json", named), base)
        if depth is None:
            return shape.model_copy(update={"name": named if is_url(base) else _canonical(folder, shape)})
    elif is_path(base):
        raise ModelError(f"there is no model folder {shortened(base, 80)}")
    elif _HUB_ID.fullmatch(base):
        shape = _shape_of_file(hub_config(base, None), base)
        shape = _begun(shape, base).model_copy(update={"hub_id": base})
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


def may_be_fetched(name: str) -> bool:
    """Whether a name, perhaps with a depth, is that of a model elsewhere: on the hub or at a URL."""
    return is_url(name) or is_hub_id(name)


def known_shape(name: str) -> ModelShape | None:
    """The shape of a built-in checkpoint or a local folder; None for any other name. Never asks the hub or a bucket.

    For tables of other people's runs, whose models may be called anything.
    """
    try:
        base, depth = split_depth(name)
        if is_url(base):
            folder = fetched_before(base)
            shape = None if folder is None else find_shape(str(folder) if depth is None else f"{folder}:{depth}")
            return None if shape is None else shape.model_copy(update={"name": name})
        return find_shape(name) if base in SHAPES or local_folder(base) is not None else None
    except (
        ModelError,
        RemoteError,
        OSError,
        ValueError,
    ):  # a name too long is an OSError
        return None


def start_of(name: str) -> Start:
    """How a member embeds texts before it is trained, as its own files say; a depth makes no difference.

    Raises:
        ModelError: it is an embedding model with a part that we do not train, or its files cannot be read.

    Example:
        >>> start_of("bge-small-en-v1.5").query_prompt
        'Represent this sentence for searching relevant passages: '
    """
    base, _ = split_depth(name)

    def read(file: str) -> Any:  # noqa: ANN401 - JSON that anybody may have written
        path = file_of(base, file)
        return None if path is None else read_json(path, ModelError)

    if base in SHAPES:
        return STARTS.get(base, Start())
    return read_start(name, read) if local_folder(base) is not None or is_hub_id(base) else Start()


def file_of(base: str, file: str, revision: str | None = None) -> Path | None:
    """A small file of a folder or, fetched into the local cache, of a checkpoint on the hub; None where it has none.

    Raises:
        ModelError: the hub has no such checkpoint or does not give it.
    """
    folder = local_folder(base)
    hub_id = SHAPES[base].hub_id if base in SHAPES else base
    path = folder / file if folder is not None else hub_id and hub_file(hub_id, file, revision)
    return path if path and path.exists() else None


def pooling_for(name: str, asked: PooledBy | None) -> PooledBy:
    """The pooling of a run on a member: what is asked for, by default the model's own, else the mean.

    A retriever keeps its own: it was trained for it, and with another its zero-shot embeddings mean little, so that its
    laws would be those of neither start. A language model takes any.

    Raises:
        ModelError: the model's own pooling is another than the one asked for, or none that we train.
    """
    own = start_of(name)
    if own.kind == "retriever" and asked is not None and asked != own.pooling:
        raise ModelError(
            f"{shortened(name, 80)} pools by {pooling_word(own.pooling)}, as its modules.json says, but pooling is "
            f"{pooling_word(asked)}: set pooling to {pooling_word(own.pooling)}"
        )
    return own.pooling if own.kind == "retriever" else asked or "mean"


def _begun(shape: ModelShape, base: str) -> ModelShape:
    """The shape of a folder or a hub id with what its files say of how it embeds texts."""
    own = start_of(base)
    check_chain(base, shape.hidden, own.dense)
    return shape.model_copy(update={"start": own.kind, "dense": own.dense})


def _shape_of_file(path: Path, name: str) -> ModelShape:
    if not path.exists():
        if (path.parent / "adapter_config.json").exists():
            raise ModelError(
                f"{name} is an adapter alone: merge it into its base model with PEFT's merge_and_unload, and save that"
            )
        raise ModelError(f"a model folder holds config.json, got {name!r} without one")
    config = read_json(path, ModelError)
    if not isinstance(config, dict):
        raise ModelError(f"{path}: must hold an object, got {type(config).__name__}")
    return shape_of_config(config, name, read_description(path.parent, config))
