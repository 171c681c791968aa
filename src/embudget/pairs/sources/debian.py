"""General English from Debian and Ubuntu: WordNet, a dictionary, package descriptions (query -> positive).

- wordnet-base: synonyms and their definition -> example sentences. Group: the lexicographer file, such as noun.animal.
  Licence: WordNet 3.0 (Princeton University).
- dict-gcide, the GNU Collaborative International Dictionary of English: headword -> definition. Group: the first two
  letters of the headword. Licence: GPL-3.0-or-later.
- apt's package lists: short -> long description. Group: the archive section. Licence: that of each package.

The package lists are those of the machine's release and change with its updates; `versions` tells them apart.
"""

import base64
import gzip
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Rules, Source
from embudget.pairs.text import join_lines

_INSTALL = "get it with: apt-get install wordnet-base dict-gcide"
_WORDNET_FILES = ("data.adj", "data.adv", "data.noun", "data.verb")
_PRONUNCIATION = re.compile(r"\\[^\\]*\\,?")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_PART_OF_SPEECH = re.compile(r"^(?:(?:n|a|adj|adv|v|vb|t|i|p|pl|prep|conj|interj|pron|imp|sing|syn|r)\.\s*[,;&]?\s*)+")


class Debian(Source):
    """WordNet and the dictionary from their folders, the package lists from apt-cache.

    Args:
        wordnet: the folder of WordNet's data files.
        dictionaries: the folder of gcide.index and gcide.dict.dz.
    """

    name = "debian"
    rules = Rules(query_words=1, positive_words=4, prose=True)

    def __init__(self, wordnet: str = "/usr/share/wordnet", dictionaries: str = "/usr/share/dictd") -> None:
        self.wordnet = Path(wordnet)
        self.index = Path(dictionaries) / "gcide.index"
        self.dictionary = Path(dictionaries) / "gcide.dict.dz"

    def versions(self) -> dict[str, str]:
        """Hash the contents of each part."""
        try:
            parts = {
                "wordnet-base": b"".join((self.wordnet / name).read_bytes() for name in _WORDNET_FILES),
                "dict-gcide": self.index.read_bytes() + self.dictionary.read_bytes(),
                "apt": self._package_lists.encode(),
            }
        except FileNotFoundError as error:
            raise PairsError(f"{error.filename} is missing; {_INSTALL}") from None
        except OSError as error:
            raise PairsError(f"cannot read the dictionaries: {error.strerror}; {_INSTALL}") from None
        return {name: hashlib.sha256(data).hexdigest()[:16] for name, data in parts.items()}

    def licences(self) -> dict[str, str]:
        """The licences that the module's description names."""
        return {"wordnet-base": "WordNet 3.0", "dict-gcide": "GPL-3.0-or-later", "apt": "each package's own"}

    def read(self) -> Iterator[RawPair]:
        """WordNet first, then the dictionary, then the packages."""
        try:
            for name in _WORDNET_FILES:
                with (self.wordnet / name).open(encoding="utf-8") as lines:
                    yield from pairs_of_wordnet(lines)
            text = gzip.decompress(self.dictionary.read_bytes())
            yield from pairs_of_dictionary(self.index.read_text(encoding="utf-8"), text)
        except (OSError, EOFError, ValueError) as error:
            raise PairsError(f"cannot read the dictionaries: {error}; {_INSTALL}") from None
        yield from pairs_of_packages(self._package_lists)

    @cached_property
    def _package_lists(self) -> str:
        if shutil.which("apt-cache") is None:
            raise PairsError("apt-cache is missing: the source debian needs Debian or Ubuntu")
        # the archive keeps long descriptions as translations, which `apt-cache dumpavail` lacks but a search has
        done = subprocess.run(["apt-cache", "search", "--full", "."], capture_output=True, check=False)
        lists = done.stdout.decode("utf-8", errors="replace")
        if next(pairs_of_packages(lists), None) is None:
            raise PairsError("apt has no long descriptions; get them with: apt-get -o Acquire::Languages=en update")
        return lists


def pairs_of_wordnet(lines: Iterable[str]) -> Iterator[RawPair]:
    """Make pairs of a data file of WordNet: one synset a line, see wndb(5WN).

    Lines of the licence begin with a space. Synsets without an example give no pair.
    """
    for line in lines:
        if line.startswith(" ") or " | " not in line:
            continue
        fields, _, gloss = line.partition(" | ")
        _, file_number, _, word_count, *rest = fields.split()
        synonyms = [word.replace("_", " ") for word in rest[: 2 * int(word_count, 16) : 2]]
        definition, quote, examples = gloss.strip().partition('; "')
        if quote:
            sentences = [example.strip(' ";') for example in examples.split('; "')]
            yield RawPair(f"{', '.join(synonyms)}: {definition}", "; ".join(sentences), f"wordnet-{file_number}")


def pairs_of_dictionary(index: str, text: bytes) -> Iterator[RawPair]:
    """Make pairs of a dictionary of dictd, all whose entries stand in ``text``, one after the other.

    Each has a line in the index: headword, offset and length in bytes, the numbers in base 64.
    """
    for line in index.splitlines():
        headword, *numbers = line.split("\t")
        if len(numbers) != 2 or headword.startswith("00-database"):
            continue
        # base64 decodes multiples of 4 digits; A is the digit 0
        begin, length = (int.from_bytes(base64.b64decode(number.rjust(8, "A"), validate=True)) for number in numbers)
        definition = _definition(text[begin : begin + length].decode("utf-8", errors="replace"))
        if definition:
            yield RawPair(headword, definition, f"gcide-{headword[:2].lower()}")


def _definition(entry: str) -> str:
    """Reduce an entry to its definition: no headword, pronunciation, etymology, part of speech or editorial marks."""
    _, backslash, behind = entry.partition("\\")
    body = _PRONUNCIATION.sub("", backslash + behind) if backslash else entry.partition("\n")[2]
    while _BRACKETS.search(body):
        body = _BRACKETS.sub("", body)
    body = " ".join(join_lines(body).replace("{", "").replace("}", "").split())
    return _PART_OF_SPEECH.sub("", body.lstrip(" ,.")).strip()


def pairs_of_packages(records: str) -> Iterator[RawPair]:
    """Make pairs of package records as apt-cache prints them, separated by empty lines, see deb-control(5)."""
    for record in records.split("\n\n"):
        section = re.search(r"^Section: (?:[\w-]+/)?(.+)$", record, re.MULTILINE)
        description = re.search(r"^Description(?:-en)?: (.+)\n((?: .*\n?)+)", record, re.MULTILINE)
        if section is not None and description is not None:
            paragraphs = re.sub(r"^ \.$", "", description.group(2), flags=re.MULTILINE)
            yield RawPair(description.group(1), join_lines(paragraphs), f"section-{section.group(1)}")
