"""Which folders are loaded as a sentence-transformers model to score or to export, and which are refused?

A folder from somewhere else may run code in three ways. A module may be of a class that is not sentence-transformers'
own (version 5 runs it from a local folder, 6 does not), and weights may be a pickle: both are refused before anything
is loaded, with the file to blame. Code of its own that a configuration names (auto_map) is not run by transformers
unless it is told to, which we never do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.errors import ModelError, first_line
from embudget.reading import read_json
from embudget.remote import local_copy

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Endings of files that hold weights as a pickle."""

_OWN = "sentence_transformers."
_WEIGHTS = ("model", "adapter_model")
_ROUTER = ("router_config.json", "config.json")


def check_model(folder: Path) -> None:
    """Refuse a folder that holds no model, or one that would run code, without loading anything.

    Raises:
        ModelError: it does.
    """
    if not (folder / "modules.json").is_file():
        raise ModelError(f"{folder} holds no sentence-transformers model: modules.json is missing")
    for module in _modules(folder):
        _check_safe(module)


def load_model(folder: str | Path) -> "SentenceTransformer":
    """Load a model that embudget, or sentence-transformers, saved, with its own prompts, from a folder or a URL.

    Raises:
        RemoteError: the URL cannot be read.
        ModelError: the folder holds none, or one that would run code: weights as a pickle, classes of its own.
    """
    folder = local_copy(folder)
    check_model(folder)
    from sentence_transformers import SentenceTransformer

    from embudget.suite.quiet import loading

    with loading(str(folder)):
        try:
            return SentenceTransformer(str(folder), model_kwargs={"use_safetensors": True}, trust_remote_code=False)
        except (OSError, ValueError, KeyError):
            raise
        except Exception as error:  # whatever a foreign file makes of the libraries that read it
            raise ModelError(f"cannot load {folder}: {first_line(error)}") from error


def _modules(folder: Path) -> Iterator[Path]:
    """The folders of a model's modules, those behind a router included.

    Raises:
        ModelError: a module is no class of sentence-transformers, or lies outside the folder.
    """
    file = folder / "modules.json"
    entries = read_json(file, ModelError)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ModelError(f"cannot load {folder}: {file} must be a list of modules")
    for entry in entries:
        yield from _checked(folder, folder, str(entry.get("path", "")), entry.get("type"), file)


def _checked(root: Path, parent: Path, path: str, kind: Any, source: Path) -> Iterator[Path]:  # noqa: ANN401 - of JSON
    if not isinstance(kind, str) or not kind.startswith(_OWN):
        raise ModelError(
            f"cannot load {root}: {source.relative_to(root)} names the class {str(kind)[:80]}, which is not one of "
            "sentence-transformers; classes of others are not run"
        )
    module = parent / path
    if not module.resolve().is_relative_to(root.resolve()):
        raise ModelError(f"cannot load {root}: {source.relative_to(root)} names {path[:80]}, outside the folder")
    yield module
    if kind.endswith((".Router", ".Asym")):
        file = next((module / name for name in _ROUTER if (module / name).is_file()), None)
        types = read_json(file, ModelError).get("types") if file else None
        for inner, inner_kind in (types if isinstance(types, dict) else {}).items():
            yield from _checked(root, module, inner, inner_kind, file or source)


def _check_safe(module: Path) -> None:
    """Refuse a module that has its weights as a pickle alone."""
    try:
        files = sorted(module.iterdir()) if module.is_dir() else []
    except OSError as error:
        raise ModelError(f"cannot read {module}: {error.strerror}") from None
    pickles = [file for file in files if file.suffix in PICKLES]
    if pickles and not any(file.suffix == ".safetensors" and file.name.startswith(_WEIGHTS) for file in files):
        raise ModelError(
            f"{pickles[0]} is a pickle, which may run code, and is not read: load the model where you trust it and "
            "save it again by SentenceTransformer(folder).save_pretrained(new folder), as safetensors"
        )
