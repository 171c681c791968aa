"""Embedding by llama.cpp itself, through the binaries that the npm package node-llama-cpp ships."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("embed.mjs")


class Embedded(NamedTuple):
    """What llama.cpp made of texts."""

    ids: list[list[int]]
    """Token ids of each text, those around it included."""
    embeddings: np.ndarray
    """(texts, size), normalised here, since the library does not."""


def llama_folder() -> Path:
    """The folder with the node_modules that hold node-llama-cpp; a test without it is skipped.

    Where EMBUDGET_LLAMA names it, as `make test-exports` does, a missing runtime is an error.
    """
    named = os.environ.get("EMBUDGET_LLAMA")
    if named is None:
        pytest.skip("EMBUDGET_LLAMA names no folder with node-llama-cpp: make test-exports installs it")
    assert (Path(named) / "node_modules" / "node-llama-cpp").is_dir(), f"{named} holds no node-llama-cpp"
    return Path(named)


def embed(file: Path, texts: list[str]) -> Embedded:
    """Tokenise and embed texts by the model in a GGUF file."""
    done = subprocess.run(
        ["node", SCRIPT],
        input=json.dumps({"model": str(file), "texts": texts}),
        env=os.environ | {"EMBUDGET_LLAMA": str(llama_folder())},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    found = np.array(answer["embeddings"])
    return Embedded(answer["ids"], found / np.linalg.norm(found, axis=1, keepdims=True))
