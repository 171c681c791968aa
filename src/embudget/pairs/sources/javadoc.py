"""Javadoc of the Java class library: the first sentence is the query, the rest its positive.

A JDK may come with the source of its library in one archive, lib/src.zip; on Debian and Ubuntu it is the package
openjdk-17-source (or of another version). Comments are read out of the .java files, without a compiler.

A group is a Java package, such as java.util. Licence: that of OpenJDK, GPL-2.0-only WITH Classpath-exception-2.0.
"""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Source
from embudget.pairs.text import first_sentence, without_html

_COMMENT = re.compile(r"/\*\*\s(.*?)\*/", re.DOTALL)
_STARS = re.compile(r"^[ \t]*\*[ \t]?", re.MULTILINE)
_CODE = re.compile(
    r"<pre\b.*?</pre>|\{@snippet\b.*?^\s*\}|<table\b.*?</table>", re.DOTALL | re.IGNORECASE | re.MULTILINE
)
_TAGS = re.compile(r"^[ \t]*@(\w+)[ \t]*", re.MULTILINE)
_LINK = re.compile(r"\{@(?:link|linkplain)\s+([^{}\s(]*(?:\([^{}()]*\))?)\s*([^{}]*)\}")
_INLINE = re.compile(r"\{@(code|literal|return|index|systemProperty|inheritDoc|value|docRoot|\w+)\s*([^{}]*)\}")
_TEXT = frozenset({"code", "literal", "index", "systemProperty"})
_LEAST_WORDS = 8  # a comment of fewer words is too short for two sides, see `Rules`


class Javadoc(Source):
    """The comments in the source of a JDK's library.

    Args:
        jdks: the folder of the JDKs. Of several that have their source, the first by name is read.
    """

    name = "javadoc"

    def __init__(self, jdks: str = "/usr/lib/jvm") -> None:
        self.jdks = Path(jdks)

    def versions(self) -> dict[str, str]:
        """Hash the archive."""
        try:
            with self._archive().open("rb") as file:
                return {"src.zip": hashlib.file_digest(file, "sha256").hexdigest()[:16]}
        except OSError as error:
            raise PairsError(f"cannot read {self._archive()}: {error.strerror}") from None

    def licences(self) -> dict[str, str]:
        """The licence of OpenJDK's library."""
        return {"src.zip": "GPL-2.0-only WITH Classpath-exception-2.0"}

    def read(self) -> Iterator[RawPair]:
        """Files in alphabetical order; a comment that occurs several times is read once."""
        seen: set[str] = set()
        path = self._archive()
        try:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(".java"):
                        yield from pairs_of_java(
                            archive.read(name).decode("utf-8", errors="replace"), _group(name), seen
                        )
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            raise PairsError(f"cannot read {path}: {error}; install the JDK's source again") from None

    def _archive(self) -> Path:
        # a JDK without its source may still have a link to it
        found = [path for path in sorted(self.jdks.glob("*/lib/src.zip")) if path.is_file()]
        if not found:
            raise PairsError(
                f"no JDK in {self.jdks} has its source, lib/src.zip; get one with: apt-get install openjdk-17-source"
            )
        return found[0]


def pairs_of_java(source: str, group: str, seen: set[str]) -> Iterator[RawPair]:
    """Make the pairs of one file. Comments in ``seen`` are passed over; those of this file are added to it."""
    for comment in _COMMENT.findall(source):
        text = _prose(_STARS.sub("", comment))
        if text not in seen and len(text.split()) >= _LEAST_WORDS:
            seen.add(text)
            query, positive = first_sentence(text)
            if positive:
                yield RawPair(query, positive, group)


def _prose(comment: str) -> str:
    """Reduce a comment to its description and what is said of parameters, results and exceptions."""
    description, *tags = _TAGS.split(_CODE.sub(" ", comment))
    lines = [without_html(_inline(description))]
    for tag, rest in zip(tags[::2], tags[1::2], strict=True):
        text = without_html(_inline(rest)).replace("\n", " ")
        name, _, said = text.partition(" ")
        if tag in ("param", "throws", "exception") and said:
            lines.append(f"{name}: {said}")
        elif tag == "return" and text:
            lines.append(f"Returns {text}")
    return "\n".join(filter(None, lines))


def _inline(text: str) -> str:
    """Replace tags inside the text, innermost first: ``{@code x}`` by x, ``{@link List#size() size}`` by size."""
    before = ""
    while before != text:
        before = text
        text = _INLINE.sub(
            _replace, _LINK.sub(lambda match: match[2].strip() or match[1].strip("#").split("#")[-1], text)
        )
    return text


def _replace(match: re.Match[str]) -> str:
    kind, text = match.groups()
    if kind == "return":
        return f"Returns {text}."
    return _escaped(text) if kind in _TEXT else ""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _group(name: str) -> str:
    """Give the package of a file in the archive, ``java.base/java/util/List.java``; older archives have no module."""
    parts = PurePosixPath(name).parent.parts
    return ".".join(parts[1:] if parts and "." in parts[0] else parts) or "unnamed"
