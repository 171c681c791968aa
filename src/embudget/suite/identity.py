"""Which weights and which tokenizer does a folder hold? Two folders of one name may hold different ones.

Runs and their records name what they were trained from by a hash, and caches of tokens are found by one. It covers
every byte, because the weights of a retrained model may differ in a single tensor. So that 10 GB are read once and not
at every start (SHA-256 takes about a second for each GB), the hashes of large files are kept in the cache folder, by
the file's place, size, inode and times. The time of the last change of its inode (ctime) is among them, which no
program can set back. A file that cannot be read is a `ModelError`.
"""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from embudget.cache import cache_folder
from embudget.errors import ModelError
from embudget.suite.dense import dense_files

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt",
)  # fmt: skip

KEPT_BYTES = 64 * 2**20
"""The hashes of larger files are kept on disk; a smaller one is hashed in 0.1 s."""
SETTLED_SECONDS = 2.0
"""A file that has changed so recently may change again without another time, and its hash is not kept."""

_KNOWN: dict[tuple[int | str, ...], str] = {}


def weights_identity(folder: Path) -> str:
    """Eight digits that depend on the configuration and the weights, those of `Dense` modules too, behind `sha256:`."""
    return f"sha256:{_hash(_weights_files(folder))[:8]}"


def tokenizer_identity(folder: Path) -> str:
    """Eight digits that depend on the tokenizer's files, behind `sha256:`."""
    return f"sha256:{_hash(_tokenizer_files(folder))[:8]}"


def model_identity(folder: Path) -> str:
    """Sixteen digits that depend on configuration, weights and tokenizer, behind `sha256:`: the same, the same runs."""
    return f"sha256:{_hash([*_weights_files(folder), *_tokenizer_files(folder)])[:16]}"


def _weights_files(folder: Path) -> list[Path]:
    described = [folder / "config.json", folder / "architecture.yaml"]  # the latter decides what an FLOP buys
    return [*described, *sorted(folder.glob("*.safetensors")), *dense_files(folder)]


def _tokenizer_files(folder: Path) -> list[Path]:
    return [folder / name for name in TOKENIZER_FILES]


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    try:
        for file in filter(Path.is_file, files):
            digest.update(f"{file.name} ".encode() + bytes.fromhex(_file_hash(file)))
    except OSError as error:
        raise ModelError(f"cannot read {error.filename}: {error.strerror}") from None
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    """SHA-256 of a file's size and content, in hexadecimal digits; known ones of unchanged files are not made again."""
    path = path.resolve()  # the hub's cache is made of links
    before = path.stat()
    key = (str(path), before.st_size, before.st_dev, before.st_ino, before.st_mtime_ns, before.st_ctime_ns)
    kept = cache_folder() / "hashes" / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    large = before.st_size > KEPT_BYTES
    found = _KNOWN.get(key) or (_kept_hash(kept) if large else None)
    if found is None:
        digest = hashlib.sha256(str(before.st_size).encode())
        with path.open("rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
        found = digest.hexdigest()
        if time.time() - before.st_ctime < SETTLED_SECONDS:
            return found
        if large:
            _keep_hash(kept, found)
    _KNOWN[key] = found
    return found


def _kept_hash(kept: Path) -> str | None:
    try:
        text = kept.read_text(encoding="ascii")
        return text if len(bytes.fromhex(text)) == hashlib.sha256().digest_size else None
    except (OSError, ValueError):
        return None


def _keep_hash(kept: Path, found: str) -> None:
    """Keep a hash, whole or not at all; where the cache cannot be written it is only made again."""
    part = kept.with_name(f"{kept.name}-{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(found, encoding="ascii")
        part.replace(kept)
    except OSError:
        with suppress(OSError):
            part.unlink()
