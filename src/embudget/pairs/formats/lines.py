"""The lines of a text file, decompressed and decoded in bounded memory, their ends as they are.

UTF-8 is read, with or without a mark at its beginning, and UTF-16 and UTF-32 with one. In UTF-8 a wrong byte spoils its
line only: it comes as a lone surrogate, which `wrong_byte` finds, so that the reader can name the line.
"""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from embudget.errors import PairsError

COMPRESSED: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
"""Ending of a compressed file -> what decompresses it."""
MOST_IN_A_LINE = 2**25
"""Characters (34 million) of a line. A file with a longer one is refused before it fills the memory."""
MOST_TIMES, FREE_CHARACTERS = 100, 2**26
"""A compressed file may hold 100 times its size, as text of few different lines does, and 67 million characters in any
case. What holds more is a bomb, or no text."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HEAD = 1024  # bytes from which UTF-16 without a mark is recognised
_ESCAPED = re.compile("[\udc80-\udcff]")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the numbered lines of a file, each with its end: a line feed, a carriage return, or both.

    Raises:
        PairsError: a line is too long, or the file is damaged, is no text, or expands without measure.
        OSError: it cannot be read.
    """
    with open_text(path) as file:
        number = 0
        while line := file.readline(MOST_IN_A_LINE):
            number += 1
            if len(line) == MOST_IN_A_LINE:
                raise PairsError(f"{path} line {number}: longer than {MOST_IN_A_LINE:,} characters; is it a table?")
            yield number, line


def read_pieces(path: Path) -> Iterator[str]:
    """Read a file in pieces of any length.

    Raises:
        PairsError, OSError: see `read_lines`.
    """
    with open_text(path) as file:
        while piece := file.read(2**20):
            yield piece


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a file for its text; errors of the compression and of the encoding become one line.

    Raises:
        PairsError, OSError: see `read_lines`.
    """
    kind = COMPRESSED.get(path.suffix.lower())
    try:
        with path.open("rb") as stored, closing(kind(stored) if kind else stored) as raw:
            buffered = io.BufferedReader(_Measured(raw, path, path.stat().st_size if kind else None))
            encoding = _encoding(buffered.peek(_HEAD)[:_HEAD], path)
            errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
            yield io.TextIOWrapper(buffered, encoding, errors, newline="")
    except UnicodeError as error:
        raise PairsError(f"{path}: not the {encoding.upper()} that its first bytes announce: {error}") from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise PairsError(f"{path}: damaged or cut off ({error}); fetch it or compress it again") from None


class _Measured(io.RawIOBase):
    """A stream that stops when a compressed file turns out to hold far more than its size."""

    def __init__(self, stream: BinaryIO, path: Path, size: int | None) -> None:
        self._stream = stream
        self._path = path
        self._most = None if size is None else max(FREE_CHARACTERS, MOST_TIMES * size)
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._read += len(data)
        if self._most is not None and self._read > self._most:
            raise PairsError(
                f"{self._path}: expands to over {MOST_TIMES} times its size; decompress it first if that is right"
            )
        return len(data)


def _encoding(head: bytes, path: Path) -> str:
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if head.count(0) > len(head) / 5:
        order = "LE" if head[1::2].count(0) >= head[::2].count(0) else "BE"
        raise PairsError(f"{path}: not UTF-8, it holds NUL bytes; if it is UTF-16: {_convert(path, f'UTF-16{order}')}")
    return "utf-8"


def wrong_byte(path: Path, line: str) -> str | None:
    """Say what is wrong with a line that is not UTF-8, and what to do; None for a good line."""
    if line.isascii() or not (found := _ESCAPED.search(line)):
        return None
    at = len(line[: found.start()].encode("utf-8", "surrogateescape")) + 1
    return f"not UTF-8 at byte {at}; if it is in another encoding: {_convert(path, 'WINDOWS-1252')}"


def _convert(path: Path, encoding: str) -> str:
    name = path.name if len(path.name) <= 40 else "FILE"
    return f"iconv -f {encoding} -t UTF-8 {name} > NEW"
