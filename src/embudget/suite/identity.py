"""What a folder of a model holds, in a few digits: two folders of one name may hold different weights."""

import hashlib
from functools import lru_cache
from pathlib import Path

from embudget.errors import ModelError
from embudget.files import pieces

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json")


def weights_identity(folder: Path) -> str:
    """`sha256:` and 8 digits of configuration and weights.

    Raises:
        ModelError: a file cannot be read.
    """
    return _identity([folder / "config.json", *sorted(folder.glob("*.safetensors"))])


def tokenizer_identity(folder: Path) -> str:
    """`sha256:` and 8 digits of the tokenizer.

    Raises:
        ModelError: a file cannot be read.
    """
    return _identity([folder / name for name in _TOKENIZER_FILES])


def _identity(files: list[Path]) -> str:
    digest = hashlib.sha256()
    try:
        for file in filter(Path.exists, files):
            status = file.stat()
            digest.update(f"{file.name} ".encode() + _digest(file, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise ModelError(f"cannot read {error.filename}: {error.strerror}") from None
    return f"sha256:{digest.hexdigest()[:8]}"


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> bytes:
    """SHA-256 of the size and of `pieces`; ``modified`` only tells the cache of another content.

    Training changes every tensor it touches throughout, so that a piece of it is met.
    """
    del modified
    digest = hashlib.sha256(str(size).encode())
    for piece in pieces(path):
        digest.update(piece)
    return digest.digest()
