"""Models to export, and the use of an export as its README shows it."""

import re
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from embudget.suite.loading import load_embedder


def saved(base: Path, folder: Path, pooling: str = "mean", max_length: int = 32) -> SentenceTransformer:
    """A model that was not fine-tuned, in a folder."""
    model = load_embedder(str(base), max_length, pooling).to("cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return model


def use(folder: Path, **changed: object) -> dict[str, Any]:
    """Run the first Python block of an export's README; the names that it leaves.

    Args:
        folder: the export.
        changed: other values for what the block itself sets in a line ``name = ...``.
    """
    block = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    code = block[1].replace("path/to/this/folder", str(folder))
    for name, value in changed.items():
        code = re.sub(rf"^{name} = \[.*\]$", f"{name} = {value!r}".replace("\\", r"\\"), code, flags=re.MULTILINE)
    namespace: dict[str, Any] = {}
    exec(compile(code, "<README>", "exec"), namespace)
    return namespace
