"""Writing a trained model as a sentence-transformers folder that says what it feeds and how it pools.

The modules (transformer, pooling, normalisation) are explicit in `modules.json`; the tokenizer carries no chat
template, so that `SentenceTransformer(folder)` feeds the same token ids as training did. Beside them lie the record of
the run (`embudget.json`) and a model card.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import ModelError, RunError
from embudget.files import whole_folder
from embudget.reading import read_json
from embudget.records import Pooling, RunRecord, after_warmup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

RECORD_FILE = "embudget.json"


def check_folder(folder: Path) -> None:
    """Refuse, before anything is trained, a folder that a model cannot be written to.

    Raises:
        RunError: something else is there, or it cannot be created.
    """
    try:
        empty = folder.is_dir() and not any(folder.iterdir())
        if folder.exists() and not empty and not (folder / RECORD_FILE).is_file():
            raise RunError(f"out must be a new folder or one that holds a model of embudget, got {folder}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent):
            pass
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}") from None


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

    from embudget.suite.loading import quietly

    check_folder(folder)
    try:
        with whole_folder(folder) as part, quietly():
            model.save_pretrained(str(part), create_model_card=False)
            (part / RECORD_FILE).write_text(record.model_dump_json(indent=2, exclude_none=True))
            (part / "README.md").write_text(model_card(record))
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise RunError(f"cannot write {folder}: {reason}") from error


_POOLED: dict[Pooling, str] = {
    "mean": "mean pooling over the tokens",
    "lasttoken": "the state of the last token",
}


def model_card(record: RunRecord) -> str:
    """The model card: what was trained, how, on what, with which result."""
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
        "held-out loss": f"{record.loss:.4f} nats over {config.eval_candidates} candidates",
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

| recipe | |
|---|---|
{table}
"""
