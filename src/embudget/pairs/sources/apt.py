"""The descriptions of all packages that apt knows: short -> long.

apt keeps one list of packages for each repository, and a list of descriptions in each language. Both are found with
`apt-get indextargets` and read with apt's own helper, whatever their compression. `apt-cache` gives the same texts, but
takes ten minutes for them. In containers the descriptions are usually missing until `apt-get update` is told to get
them.

A group is a source package with all binary packages that are built from it, because libfoo1 and libfoo-dev are
described alike. Licence: each package's own, since a description belongs to its packaging.

The lists are those of the machine's release and change with its updates. Only a change of a description changes the
version.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cached_property

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Rules, Source
from embudget.pairs.text import join_lines

_HELPER = "/usr/lib/apt/apt-helper"
_UPDATE = "get them with: apt-get -o Acquire::Languages=en update"
_FIELD = re.compile(r"^(Package|Source|Description-md5|Description(?:-en)?): *(.*(?:\n .*)*)", re.MULTILINE)
_ITEM = re.compile(r"^\s*(?:[*+o•-]|\d+[.)]) +", re.MULTILINE)


class Apt(Source):
    """Descriptions out of apt's lists of packages."""

    name = "apt"
    rules = Rules(query_words=2, positive_words=5)

    def versions(self) -> dict[str, str]:
        """Hash the descriptions."""
        digest = hashlib.sha256()
        for pair in self._pairs:
            digest.update("\x1f".join((pair.query, pair.positive, pair.group or "")).encode() + b"\x1e")
        return {"apt": digest.hexdigest()[:16]}

    def licences(self) -> dict[str, str]:
        """The licence differs from package to package."""
        return {"apt": "each package's own"}

    def read(self) -> Iterator[RawPair]:
        """Packages in the order of apt's lists; a package that is in several of them is read once."""
        yield from self._pairs

    @cached_property
    def _pairs(self) -> list[RawPair]:
        if shutil.which("apt-get") is None or shutil.which(_HELPER) is None:
            raise PairsError("apt-get is missing: the source apt needs Debian or Ubuntu")
        packages, translations = _lists("Packages"), _lists("Translations")
        if not packages:
            raise PairsError(f"apt has no lists of packages; {_UPDATE}")
        pairs = list(pairs_of_packages(packages, translations))
        if not pairs:
            raise PairsError(f"apt has no long descriptions; {_UPDATE}")
        return pairs


def _lists(kind: str) -> list[str]:
    """Read the lists of a kind, translations into English only, which the machine's settings may leave out."""
    english = ("-o", "Acquire::Languages=en")
    named = _output("apt-get", *english, "indextargets", "--format", "$(FILENAME)", f"Created-By: {kind}")
    return [_output(_HELPER, "cat-file", file) for file in named.splitlines()]


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", errors="replace").strip().partition("\n")[0]
        raise PairsError(f"{command[0]} failed: {reason or f'exit code {done.returncode}'}")
    return done.stdout.decode("utf-8", errors="replace")


def pairs_of_packages(packages: Iterable[str], translations: Iterable[str]) -> Iterator[RawPair]:
    """Make the pairs of lists of packages, whose records are separated by empty lines, see deb-control(5).

    A record holds its whole description, or only the first line with the hash under which a translation, even the
    English one, holds the rest.
    """
    texts = {}
    for record in _records(translations):
        texts[record.get("Description-md5", "")] = record.get("Description-en", "")
    seen = set()
    for record in _records(packages):
        text = record.get("Description", "")
        if "\n" not in text:
            text = texts.get(record.get("Description-md5", ""), "")
        short, _, long = text.partition("\n")
        name = record.get("Package", "")
        if long and (name, text) not in seen:
            seen.add((name, text))
            yield RawPair(short, _paragraphs(long), record.get("Source", name).split(" ")[0])


def _records(lists: Iterable[str]) -> Iterator[dict[str, str]]:
    for text in lists:
        for record in text.split("\n\n"):
            fields = dict(_FIELD.findall(record))
            if fields:
                yield fields


def _paragraphs(long: str) -> str:
    """Give each paragraph and each item of a list a line; a line that holds only a point separates paragraphs."""
    return join_lines(_ITEM.sub("\n", re.sub(r"^ \.$", "", long, flags=re.MULTILINE)))
