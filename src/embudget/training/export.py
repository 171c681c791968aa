"""Writing a trained model as a sentence-transformers folder that says what it feeds and how it pools.

The modules (transformer, pooling, normalisation) are explicit in `modules.json`; the tokenizer follows the rule of
`embudget.suite.tokens`, so that `SentenceTransformer(folder)` feeds the same token ids as training did. Beside them lie
the record of the run (`embudget.json`), a model card, and the list of all files (`embudget-files.json`), by which a
later model knows what it may replace.

sentence-transformers writes the names of its own release into these files. They are replaced by those that releases 5
and 6 both read, because models from before release 5 carry them. The tests hold what stands there. Where the tokenizer
needs a chat template to read an empty text, the names stay, since only release 6 reads texts through it; the card says
which release is needed.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import ModelError, RunError
from embudget.files import whole_folder
from embudget.outputs import check_folder_output
from embudget.owned import check_owned, list_files
from embudget.reading import read_json
from embudget.records import Pooling, RunRecord, after_warmup
from embudget.suite.members import local_folder, split_depth

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

RECORD_FILE = "embudget.json"


def check_folder(folder: Path, model: str | None = None, pairs: Path | None = None) -> None:
    """Refuse, before anything is trained, a folder that a model must not or cannot be written to.

    Args:
        folder: where the model goes.
        model: what training begins from, which may be a folder too.
        pairs: the folder of the pairs.

    Raises:
        RunError: it is one of the two, holds files that embudget did not write, or cannot be created.
    """
    base = None if model is None else local_folder(split_depth(model)[0])
    check_folder_output(folder, (base, pairs), RunError)
    try:
        _check_model(folder)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}") from None


def _check_model(folder: Path) -> None:
    check_owned(folder, "a model of embudget", RunError)


def read_record(folder: Path) -> RunRecord:
    """The record of the run that made the model in a folder.

    Raises:
        ModelError: it is missing or damaged.
    """
    file = folder / RECORD_FILE
    return RunRecord.read(read_json(file, ModelError), str(file), ModelError)


def export(model: "SentenceTransformer", record: RunRecord, folder: Path) -> None:
    """Write the model, its record and its card, whole or not at all; a model that is there is replaced.

    Raises:
        RunError: the folder cannot be written.
    """
    from safetensors import SafetensorError

    from embudget.suite.quiet import quietly

    check_folder(folder)
    try:
        with whole_folder(folder, check=_check_model) as part, quietly():
            model.save_pretrained(str(part), create_model_card=False)
            if not model.tokenizer.chat_template:
                _name_as_before(model, part)
            (part / RECORD_FILE).write_text(record.model_dump_json(indent=2, exclude_none=True))
            (part / "README.md").write_text(model_card(record, "6" if model.tokenizer.chat_template else "5.2"))
            list_files(part)
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise RunError(f"cannot write {folder}: {reason}") from error


def _name_as_before(model: "SentenceTransformer", folder: Path) -> None:
    """Write the modules' names and settings in the words of sentence-transformers 5.2, which later releases know.

    The tokenizer and the configuration of the transformer stay as transformers 5 writes them. Release 4 of it does not
    know this tokenizer's class and fails, which is well: it would read other rotary embeddings without a word.
    """
    transformer, pooling, *_ = model  # a retriever may have no normalisation
    listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for module in listed:
        module["type"] = f"sentence_transformers.models.{module['type'].rpartition('.')[2]}"
    settings = {"max_seq_length": transformer.max_seq_length, "do_lower_case": False}
    pooled = {
        "word_embedding_dimension": pooling.embedding_dimension,
        "pooling_mode": pooling.pooling_mode,
        "include_prompt": pooling.include_prompt,
    }
    for name, content in [
        ("modules.json", listed),
        ("sentence_bert_config.json", settings),
        (f"{listed[1]['path']}/config.json", pooled),
    ]:
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


_POOLED: dict[Pooling, str] = {
    "mean": "mean pooling over the tokens",
    "lasttoken": "the state of the last token",
    "cls": "the state of the first token",
    "weightedmean": "mean pooling over the tokens, later ones weighing more",
}


def model_card(record: RunRecord, needs: str = "6") -> str:
    """The model card: what was trained, how, on what, with which result; ``needs`` is of sentence-transformers."""
    config = record.config
    base = record.provenance.model_revision if record.provenance else config.model
    rows = {
        "base model": f"{config.model} ({base})",
        "method": config.method,
        "parameters without embeddings": f"{record.model_params:,}",
        "budget": f"{config.train_flops:.3g} FLOP (spent {record.train_flops:.4g})",
        "tokens": f"{record.tokens:,}",
        "pairs": f"{record.pairs_seen:,} of the data {config.pairs}",
        "steps x batch": f"{record.steps:,} x {config.batch_size}",
        "peak learning rate": f"{config.learning_rate:g}, warm-up {config.warmup:g} of the budget, "
        f"then {after_warmup(config.schedule, config.decay)}",
        "loss": f"symmetric InfoNCE, scale {config.scale:g}",
        "max length": f"{config.max_length} tokens",
        "held-out loss": f"{record.loss:.4f} nats over {config.eval_candidates} candidates; by chance "
        f"{record.by_chance:.4f}",
        "held-out accuracy": f"{record.accuracy:.3f}",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, sentence-similarity, feature-extraction, embudget]
---

# {config.model} fine-tuned with {config.method}

A text-embedding model: {_POOLED[config.pooling]}, normalised to unit length. Compare with the cosine.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
embeddings = model.encode(["first text", "second text"])
```

It needs sentence-transformers {needs} or later with transformers 5 or later.

| recipe | |
|---|---|
{table}
"""
