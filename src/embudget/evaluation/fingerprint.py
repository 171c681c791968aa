"""By what is a model known in a cache of scores? By a hash of all that decides its embeddings.

mteb keeps scores by a model's name and revision, and gives every model from a folder the same of both, so that a second
model would get the first one's scores. Ours have this hash as their revision.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import ModelError
from embudget.records import RunConfig
from embudget.suite.loading import find_checkpoint, weights_of
from embudget.suite.quiet import quietly

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_ASIDE = {"README.md", ".gitattributes", "embudget.json", "embudget-files.json", "training_args.bin"}
"""Files that no embedding depends on."""


def folder_hash(folder: Path) -> str:
    """Sixteen digits of a hash of the files of a sentence-transformers folder: weights, tokenizer, prompts, settings.

    Raises:
        ModelError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.name not in _ASIDE):
            own = hashlib.sha256()
            with file.open("rb") as content:
                while piece := content.read(2**20):
                    own.update(piece)
            digest.update(f"{file.relative_to(folder).as_posix()} {own.hexdigest()} ".encode())
    except OSError as error:
        raise ModelError(f"cannot read {error.filename}: {error.strerror}") from None
    return digest.hexdigest()[:16]


def model_hash(model: "SentenceTransformer") -> str:
    """The hash of the files that a model in memory would be saved as."""
    with tempfile.TemporaryDirectory() as folder, quietly():
        model.save_pretrained(folder, create_model_card=False)
        return folder_hash(Path(folder))


def base_hash(config: RunConfig) -> str:
    """The hash of the model that a run begins from, as the run embeds texts with it."""
    weights = weights_of(config.model) or find_checkpoint(config.model).identity
    values = [config.model, weights, config.max_length, config.pooling, config.end_token]
    more = [config.query_prompt, config.document_prompt, config.attention]
    values += more if any(more) else []  # scores that were kept before there were any stay known
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
