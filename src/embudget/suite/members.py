"""Finding a member of a suite by the name a user writes, without loading weights.

A name is that of a built-in checkpoint (`pythia-70m`), a local folder, or a hub id, and may end in `:K` for its first K
blocks (`smollm2-135m:8`).
"""

import json
from pathlib import Path

from embudget.errors import ModelError
from embudget.suite.families import SHAPES, SUITES
from embudget.suite.shapes import ModelShape, shape_of_config


def split_depth(name: str) -> tuple[str, int | None]:
    """Split ``NAME:K`` into the name and the depth; without a depth, None.

    Raises:
        ModelError: the depth is not a whole number.
    """
    base, colon, depth = name.rpartition(":")
    if not colon or Path(name).is_dir():
        return name, None
    if not depth.isdigit():
        raise ModelError(f"depth must be a whole number as in smollm2-135m:8, got {name!r}")
    return base, int(depth)


def find_shape(name: str) -> ModelShape:
    """The shape of a built-in checkpoint or a local folder, cut to its depth where one is given.

    Raises:
        ModelError: nothing has this name, its configuration cannot be used, or the depth is out of range.
    """
    base, depth = split_depth(name)
    if base in SHAPES:
        shape = SHAPES[base]
    elif Path(base).is_dir():
        shape = _shape_of_folder(Path(base))
    else:
        raise ModelError(
            f"model must be a built-in name (see `embudget suite list`) or a local folder, got {base!r}"
            + _similar(base)
        )
    return shape if depth is None else shape.truncated(depth)


def find_suite(name: str) -> tuple[ModelShape, ...]:
    """The members of a built-in suite, or of a folder of model folders, smallest first.

    Raises:
        ModelError: there is no such suite.
    """
    if name in SUITES:
        members = [find_shape(member) for member in SUITES[name]]
    elif Path(name).is_dir():
        members = [find_shape(str(config.parent)) for config in Path(name).glob("*/config.json")]
    else:
        members = []
    if not members:
        raise ModelError(f"suite must be one of {', '.join(SUITES)} or a folder of models, got {name!r}")
    return tuple(sorted(members, key=lambda shape: shape.model_params))


def _shape_of_folder(folder: Path) -> ModelShape:
    try:
        config = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        raise ModelError(f"a model folder holds config.json, got {str(folder)!r} without one") from None
    except ValueError as error:
        raise ModelError(f"{folder / 'config.json'}: not valid JSON: {error}") from None
    return shape_of_config(config, name=str(folder))


def _similar(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, SHAPES, n=1)
    return f"; did you mean {close[0]}?" if close else ""
