"""One export: a model and the name of a format in, a folder out that the format's own runtime loads.

    refuse what cannot work -> load -> write -> compare with torch -> put in place

The folder takes its place when all of it is written and, where another runtime computes, when that was found to agree
with torch. It holds the model in its format, `export.json` with what was measured, a README that says how to use it,
the record of the run if there is one, and the list of its files, by which a later export knows what it may replace.
"""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat

from embudget.errors import ConfigError, EmbudgetError, ExportError, first_line
from embudget.exports.base import Format, check_packages
from embudget.exports.check import Check, Precision
from embudget.exports.exportable import Exportable, input_folder, open_exportable, source_folder
from embudget.exports.folder import RECORD_FILE, check_earlier_model
from embudget.exports.formats import find_format
from embudget.exports.origins import ORIGINS_FILE, origins_of_start, read_origins, start_name
from embudget.exports.readme import readme
from embudget.files import whole_folder
from embudget.frozen import Frozen
from embudget.outputs import check_folder_output
from embudget.owned import list_files

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EXPORT_FILE = "export.json"
_VERSIONS = ("embudget", "torch", "transformers", "sentence-transformers")


class Exported(Frozen):
    """What an export wrote, and how its runtime compares with torch."""

    path: Path = Field(description="the folder")
    to: str = Field(description="the format")
    precision: Precision = Field(description="of the weights")
    difference: NonNegativeFloat | None = Field(
        default=None, description="largest difference from torch of any number of the embeddings of 200 texts"
    )
    texts_per_second: PositiveFloat | None = Field(
        default=None, description="of the format's runtime on those texts, tokenising included; none where it is torch"
    )
    torch_texts_per_second: PositiveFloat | None = Field(
        default=None, description="of sentence-transformers on the same texts, with as many threads"
    )


def export(model: "SentenceTransformer | str | Path", to: str, out: str | Path, *, fp16: bool = False) -> Exported:
    """Write a model in a format that other runtimes load.

    Args:
        model: a sentence-transformers folder, such as `train` writes; a member that was not fine-tuned, such as
            ``smollm2-135m:2``; or a loaded `SentenceTransformer`.
        to: sentence-transformers, transformers, peft, onnx, openvino or gguf.
        out: the folder to write: new, or one of an earlier export or model that was not changed since.
        fp16: write in half precision; onnx, openvino and gguf alone.

    Returns:
        The folder, the largest difference from torch's embeddings, and the texts per second of both.

    Raises:
        ConfigError: the format is unknown, its package is not installed, or ``out`` is an input or somebody else's.
        ModelError: the model cannot be loaded.
        ExportError: the format cannot hold the model, its embeddings differ from torch's, or the disk is full.

    Example:
        >>> done = eb.export("model/", to="onnx", out="model-onnx/")
        >>> done.difference < 1e-3
        True
    """
    from embudget.suite.quiet import quietly

    chosen, folder = find_format(to), Path(out)
    check_export(chosen, model, folder, fp16)
    source = open_exportable(model)
    chosen.check(source)
    if source.record is None:  # a member, or another's folder, which has a licence as well
        origins = origins_of_start(str(model)) if isinstance(model, str | Path) else None
    else:
        origins = None if source.folder is None else read_origins(source.folder)
    precision: Precision = "fp16" if fp16 else "fp32"
    try:
        with whole_folder(folder, check=_check_replaced) as part, quietly():
            found = _written(chosen, source, part, fp16)
            (part / EXPORT_FILE).write_text(json.dumps(_facts(chosen, source, precision, found), indent=2) + "\n")
            (part / "README.md").write_text(readme(chosen, source, precision, found, origins), encoding="utf-8")
            if source.record is not None:
                (part / RECORD_FILE).write_text(source.record.model_dump_json(indent=2, exclude_none=True))
            if origins is not None:
                (part / ORIGINS_FILE).write_text(origins.model_dump_json(indent=2), encoding="utf-8")
            list_files(part)
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror or first_line(error)}") from error
    measured: dict[str, Any] = {} if found is None else found.model_dump(exclude={"threads"})
    return Exported(path=folder, to=to, precision=precision, **measured)


def check_export(
    chosen: Format, model: "SentenceTransformer | str | Path | None", out: Path, fp16: bool = False
) -> None:
    """Refuse, before anything is loaded, an export that cannot be done; of a model that is not there yet, None.

    Raises:
        ConfigError: the package is missing, half precision is asked of another format, or the folder must not be
            written to.
        ModelError: the model's folder holds none.
    """
    check_packages(chosen)
    if fp16 and not chosen.takes_fp16:
        raise ConfigError(f"fp16 is for onnx, openvino and gguf, not for {chosen.name}: leave it out")
    check_folder_output(out, (input_folder(model),))
    try:
        _check_replaced(out)
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror}") from None
    source_folder(model)


def check_exports(names: Sequence[str], method: str, out: Path) -> None:
    """Refuse, before a model is trained, the exports that are asked for after it: see `export_beside`.

    Raises:
        ConfigError, ExportError: as `export` does.
    """
    for name in names:
        chosen = find_format(name)
        if name == "peft" and not method.startswith("lora"):
            raise ConfigError(f"export to peft needs a model trained by lora, got {method}")
        check_export(chosen, None, export_beside(out, name))


def export_beside(out: Path, name: str) -> Path:
    """Where the export of a model that is being trained goes: ``model`` to onnx is ``model-onnx``."""
    return Path(f"{out}-{name}")


def _check_replaced(folder: Path) -> None:
    check_earlier_model(folder, ConfigError)


def _written(chosen: Format, source: Exportable, part: Path, fp16: bool) -> Check | None:
    """Write a model, and have a full disk be an OSError, whichever library met it.

    Raises:
        ExportError: the model cannot be written in the format.
        OSError: the disk is full.
    """
    try:
        return chosen.write(source, part, fp16)
    except (OSError, EmbudgetError):
        raise
    except Exception as error:
        # tokenizers, safetensors and OpenVINO have classes of their own for what the system refused
        if reason := next((text for text in _FULL if text in str(error)), None):
            raise OSError(None, reason) from error
        raise


_FULL = ("No space left on device", "File too large", "Disk quota exceeded")


def _facts(chosen: Format, source: Exportable, precision: Precision, found: Check | None) -> dict[str, Any]:
    """What `export.json` says: what the model is, how to feed it, how far it is from torch."""
    model = source.model
    return {
        "format": chosen.name,
        "precision": precision,
        "model": start_name(source.name if source.record is None else source.record.config.model),
        "max_length": model.max_seq_length,
        "embedding_size": model.get_embedding_dimension(),
        "prompts": {name: prompt for name, prompt in model.prompts.items() if prompt},
        "check": None if found is None else found.model_dump(),
        "versions": {name: version(name) for name in (*_VERSIONS, *chosen.packages)},
    }
