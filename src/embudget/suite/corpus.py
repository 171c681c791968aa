"""Text for pre-training: documents from files, one byte-level BPE tokenizer, two memory-mapped files of token ids.

A document is a paragraph of a text file, a line of a JSONL file or a row of a Parquet file. A share of the documents,
chosen by the hash of their content so that duplicates stay on one side, is held out. Everything is written once into a
folder, under a temporary name and then renamed, and read from there by every model of the suite; once it is complete,
the text is not needed any more. Until then it must stay as it is: files of two versions are never mixed.

    corpus.json       hashes of the text files it is made of, and whether it is complete
    tokenizer.json    trained on the training documents
    train.bin         their token ids, each document followed by the end-of-text token
    heldout.bin       the same of the held-out documents
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embudget.errors import ConfigError
from embudget.files import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"

TOKENIZER_DOCUMENTS = 1_000_000
"""Documents the tokenizer is trained on at most; assumption: more do not change the merges noticeably."""

_MANIFEST = "corpus.json"
_FILES = ("tokenizer.json", "train.bin", "heldout.bin")

SMALLEST_VOCABULARY = 256 + 2
"""Every byte, and the two special tokens."""


class Corpus(NamedTuple):
    """Token ids of a text, memory-mapped."""

    folder: Path
    train: "NDArray[np.integer[Any]]"
    heldout: "NDArray[np.integer[Any]]"


def find_texts(paths: Sequence[str]) -> list[Path]:
    """The files that paths, glob patterns and folders of pairs stand for, in a fixed order.

    Raises:
        ConfigError: a path matches no file.
    """
    found: list[Path] = []
    for path in paths:
        if Path(path).is_dir():
            # the pairs' validation and test rows stay unseen
            matches = sorted(Path(path).glob("train*.parquet")) or sorted(Path(path).glob("*.parquet"))
        elif Path(path).exists():
            matches = [Path(path)]
        else:
            anchor = Path(path).anchor
            matches = sorted(Path(anchor or ".").glob(str(Path(path).relative_to(anchor))))
        if not matches:
            raise ConfigError(f"text must name files, got {path!r}, which matches none")
        found += matches
    return list(dict.fromkeys(found))


def read_documents(path: Path, field: str) -> Iterator[str]:
    """The documents of one file: paragraphs of .txt or .md, ``field`` of .jsonl, ``field`` or the pairs of .parquet.

    Raises:
        ConfigError: the file cannot be read, or is not of these kinds.
    """
    readers = {".txt": _paragraphs, ".md": _paragraphs, ".jsonl": _json_lines, ".parquet": _rows}
    reader = readers.get(path.suffix)
    if reader is None:
        raise ConfigError(f"text must be one of {', '.join(readers)}, got {str(path)!r}")
    try:
        for document in reader(path, field):
            if document.strip():
                yield document
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}") from None


def _paragraphs(path: Path, field: str) -> Iterator[str]:
    lines: list[str] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                lines.append(line)
            elif lines:
                yield "".join(lines).strip()
                lines = []
    yield "".join(lines).strip()


def _json_lines(path: Path, field: str) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = json.loads(line)[field]
            except (ValueError, KeyError, TypeError):
                text = None
            if not isinstance(text, str):
                raise ConfigError(f"{path}, line {number}: must be a JSON object with the text in {field!r}")
            yield text


def _rows(path: Path, field: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = set(pq.read_schema(path).names)
        columns = [field] if field in names else ["query", "positive"]
        if not names.issuperset(columns):
            raise ConfigError(f"{path}: needs a column {field!r} or the columns 'query' and 'positive'")
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    yield "\n".join(str(row[column] or "") for column in columns)
    except pa.ArrowException as error:
        raise ConfigError(f"{path}: not a usable Parquet file: {str(error).splitlines()[0]}") from None


def is_held_out(document: str, share: float) -> bool:
    """Whether a document belongs to the held-out share: decided by its content alone."""
    digest = hashlib.blake2b(document.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def prepare_corpus(folder: Path, text: Sequence[str], field: str, vocab_size: int, heldout: float) -> Corpus:
    """Train the tokenizer and tokenise the text, unless ``folder`` holds the result of an earlier call.

    Args:
        folder: of the corpus. What an interrupted call left there is used if the text is still the same.
        text: paths as `find_texts` takes them; not looked at where the corpus is complete.
        field: see `read_documents`.
        vocab_size: of the tokenizer.
        heldout: share of the documents.

    Raises:
        ConfigError: the text is not readable, changes while it is read, or is too small for the vocabulary or for a
            held-out share.
    """
    import numpy as np

    manifest = folder / _MANIFEST
    before = _read_manifest(manifest)
    if not before.get("complete") or not all((folder / name).exists() for name in _FILES):
        files = find_texts(text)
        hashes = _hashes(files)
        if before.get("files") != hashes:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(manifest, json.dumps({"files": hashes, "complete": False}, indent=1) + "\n")
        _make(folder, files, field, vocab_size, heldout)
        if _hashes(files) != hashes:
            shutil.rmtree(folder)
            raise ConfigError("text must stay as it is while it is read, but a file has changed; start again")
        write_whole(manifest, json.dumps({"files": hashes, "complete": True}, indent=1) + "\n")
    tokens = {}
    for name in ("train", "heldout"):
        path = folder / f"{name}.bin"
        if not path.stat().st_size:  # an empty file cannot be mapped
            raise ConfigError(f"text has no {name} documents at a heldout share of {heldout:g}")
        tokens[name] = np.memmap(path, dtype=_dtype(vocab_size), mode="r")
    return Corpus(folder, **tokens)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _hashes(files: list[Path]) -> dict[str, str]:
    """SHA-256 of each file in the order of reading; where the files lie does not matter, hence the numbers."""
    hashes = {}
    for number, path in enumerate(files):
        try:
            with path.open("rb") as file:
                hashes[f"{number} {path.name}"] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    return hashes


def _dtype(vocab_size: int) -> type:
    import numpy as np

    return np.uint16 if vocab_size <= 2**16 else np.uint32


def _make(folder: Path, files: list[Path], field: str, vocab_size: int, heldout: float) -> None:
    """Write the tokenizer and the token ids that ``folder`` lacks."""

    def documents(held_out: bool) -> Iterator[str]:
        for path in files:
            for document in read_documents(path, field):
                if is_held_out(document, heldout) == held_out:
                    yield document

    path = folder / "tokenizer.json"
    if not path.exists():
        _train_tokenizer(documents(held_out=False), vocab_size, path)
    for name, held_out in [("train", False), ("heldout", True)]:
        tokens = folder / f"{name}.bin"
        if not tokens.exists():
            _write_tokens(documents(held_out), path, tokens, _dtype(vocab_size))


def _train_tokenizer(documents: Iterator[str], vocab_size: int, path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),  # so that no text is out of the vocabulary
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(documents, TOKENIZER_DOCUMENTS), trainer)
    if tokenizer.get_vocab_size() < vocab_size:
        raise ConfigError(
            f"vocab_size must be <= {tokenizer.get_vocab_size()}, all that this text supports, got {vocab_size}"
        )
    part = path.with_suffix(".part")
    tokenizer.save(str(part))
    part.rename(path)


def _write_tokens(documents: Iterator[str], tokenizer_path: Path, path: Path, dtype: type) -> None:
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    end = tokenizer.token_to_id(END_OF_TEXT)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        while batch := list(islice(documents, 1000)):
            ids = [token for encoding in tokenizer.encode_batch(batch) for token in [*encoding.ids, end]]
            file.write(np.asarray(ids, dtype=dtype).tobytes())
    part.rename(path)
