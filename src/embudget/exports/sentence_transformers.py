"""Writing a trained model as a sentence-transformers folder that says what it feeds and how it pools.

The modules (transformer, pooling, `Dense` ones, normalisation) are explicit in `modules.json`; the tokenizer follows
the rule of `embudget.suite.tokens`, so that `SentenceTransformer(folder)` feeds the same token ids as training did.
Beside them lie the record of the run (`embudget.json`), a model card, and the list of all files
(`embudget-files.json`), by which a later model knows what it may replace.

sentence-transformers writes the names of its own release into these files. They are replaced by those that releases 5
and 6 both read, because models from before release 5 carry them. The tests hold what stands there. Where the tokenizer
needs a chat template to read an empty text, the names stay, since only release 6 reads texts through it; the card says
which release is needed.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, final

from embudget.errors import RunError
from embudget.exports.adapter import ADAPTER, Adapter, write_adapter
from embudget.exports.base import Format
from embudget.exports.card import model_card
from embudget.exports.folder import RECORD_FILE, check_earlier_model, check_folder
from embudget.exports.origins import ORIGINS_FILE, Origins
from embudget.exports.snippets import sentence_transformers_usage
from embudget.files import whole_folder
from embudget.owned import list_files
from embudget.records import RunRecord

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.exports.exportable import Exportable


_DENSE_SETTINGS = ("in_features", "out_features", "bias", "activation_function")
"""What every release reads of a `Dense` module."""


@final
class SentenceTransformersFormat(Format):
    """What training writes, made anew: also of a member that was not fine-tuned."""

    name = "sentence-transformers"

    def write(self, source: "Exportable", folder: Path, fp16: bool) -> None:
        """Write modules, weights and tokenizer."""
        save_modules(source.model, folder)

    def usage(self, source: "Exportable") -> str:
        """`SentenceTransformer(folder)`."""
        return sentence_transformers_usage(source)


def write_model(
    model: "SentenceTransformer",
    record: RunRecord,
    folder: Path,
    adapter: Adapter | None = None,
    origins: Origins | None = None,
) -> None:
    """Write the model, its record and its card, whole or not at all; a model that is there is replaced.

    Args:
        model: adapters merged.
        record: of the run that trained it.
        folder: where to write.
        adapter: the adapters that were merged, which are kept beside the weights.
        origins: start and data with their licences, for the card.

    Raises:
        RunError: the folder cannot be written.
    """
    from safetensors import SafetensorError

    from embudget.suite.quiet import quietly

    check_folder(folder)
    try:
        with whole_folder(folder, check=check_earlier_model) as part, quietly():
            save_modules(model, part)
            if adapter is not None:
                write_adapter(adapter, record.config, part / ADAPTER)
            (part / RECORD_FILE).write_text(record.model_dump_json(indent=2, exclude_none=True))
            if origins is not None:
                (part / ORIGINS_FILE).write_text(origins.model_dump_json(indent=2), encoding="utf-8")
            card = model_card(record, "6" if model.tokenizer.chat_template else "5.2", origins=origins)
            (part / "README.md").write_text(card, encoding="utf-8")
            list_files(part)
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise RunError(f"cannot write {folder}: {reason}") from error


def save_modules(model: "SentenceTransformer", folder: Path) -> None:
    """Write what sentence-transformers loads, under names that its release 5 reads too where it can.

    Raises:
        OSError, SafetensorError: the folder is full.
    """
    model.save_pretrained(str(folder), create_model_card=False)
    kinds = " ".join(type(module).__name__ for module in model)
    if not model.tokenizer.chat_template and re.fullmatch(r"Transformer Pooling( Dense)* Normalize", kinds):
        _name_as_before(model, folder)


def _name_as_before(model: "SentenceTransformer", folder: Path) -> None:
    """Write the modules' names and settings in the words of sentence-transformers 5.2, which later releases know.

    The tokenizer and the configuration of the transformer stay as transformers 5 writes them. Release 4 of it does not
    know this tokenizer's class and fails, which is well: it would read other rotary embeddings without a word.
    """
    transformer, pooling, *others = model
    listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for module in listed:
        module["type"] = f"sentence_transformers.models.{module['type'].rpartition('.')[2]}"
    settings = {"max_seq_length": transformer.max_seq_length, "do_lower_case": False}
    pooled = {
        "word_embedding_dimension": pooling.embedding_dimension,
        "pooling_mode": pooling.pooling_mode,
        "include_prompt": pooling.include_prompt,
    }
    dense = [
        (f"{listed[place]['path']}/config.json", {key: module.get_config_dict()[key] for key in _DENSE_SETTINGS})
        for place, module in enumerate(others, start=2)
        if type(module).__name__ == "Dense"
    ]
    for name, content in [
        ("modules.json", listed),
        ("sentence_bert_config.json", settings),
        (f"{listed[1]['path']}/config.json", pooled),
        *dense,
    ]:
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
