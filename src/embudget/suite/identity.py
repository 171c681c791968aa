"""Which weights and which tokenizer does a folder hold? Two folders of one name may hold different ones.

Records name what they were trained from by eight digits of a hash, and caches of tokens and of frozen blocks are found
by them. A file that cannot be read is a `ModelError`.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from embudget.errors import ModelError
from embudget.files import pieces

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json")


def weights_identity(folder: Path) -> str:
    """Eight digits that depend on the configuration and the weights, behind `sha256:`."""
    return _identity([folder / "config.json", *sorted(folder.glob("*.safetensors"))])


def tokenizer_identity(folder: Path) -> str:
    """Eight digits that depend on the tokenizer's files, behind `sha256:`."""
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
    """SHA-256 of a file's size and of its `pieces`: of a large file 64 MiB, which takes 0.1 s instead of minutes.

    Pieces suffice, because training changes a tensor throughout and some piece of it is met. ``modified`` is not read:
    with it, the cache asks again when a file has changed.
    """
    digest = hashlib.sha256(str(size).encode())
    for piece in pieces(path):
        digest.update(piece)
    return digest.digest()
