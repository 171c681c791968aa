"""What a source of text pairs is: where it comes from, under which licence, and its pairs in a fixed order.

To add one, write a subclass of `Source` in a file of its own and list it in `embudget.pairs.sources`. To use one of
your own without changing embudget, pass it to `embudget.pairs.build_from`.
"""

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from embudget.errors import PairsError
from embudget.pairs.splitting import Split
from embudget.pairs.text import MAX_CHARACTERS


class RawPair(NamedTuple):
    """A pair as its source holds it, before cleaning."""

    query: str
    positive: str
    group: str | None
    """Pairs of one group stay in one split. None makes the pair a group of its own."""
    negatives: tuple[str, ...] = ()
    """Hard negatives: texts that resemble the positive and do not answer the query."""
    split: Split | None = None
    """The split in which the source holds the pair; None lets embudget choose."""


class Rules(NamedTuple):
    """What both sides of a pair must be to be kept. The defaults are for documentation."""

    query_words: int = 3
    positive_words: int = 5
    prose: bool = True
    """Whether at least 70 % of the characters of each side must be letters or spaces."""
    characters: int | None = MAX_CHARACTERS
    """Longer sides are cut at a word; None leaves them whole."""
    same_template: int | None = 50
    """The most pairs of the source that one template may make, see `embudget.pairs.boilerplate`; None keeps all."""
    own: bool = False
    """Whether these are the user's own texts: they stay as they are, only empty and repeated pairs are dropped, and the
    other rules do not matter. See `embudget.pairs.own_texts`."""


OWN_TEXTS = Rules(query_words=1, positive_words=1, prose=False, characters=None, own=True)
"""Rules for the user's own pairs."""


class Unused(NamedTuple):
    """What of a source was passed over while its pairs were read."""

    columns: tuple[str, ...] = ()
    """Columns that are not used, such as an identifier."""
    splits: tuple[str, ...] = ()
    """Splits of a data set that were not read."""
    bad_rows: int = 0
    """Rows that break a rule of their format, left out because the user wanted it so."""
    examples: tuple[str, ...] = ()
    """What is wrong with the first of them."""
    doubtful: tuple[str, ...] = ()
    """Places of rows that were read, but may be several, swallowed by a stray quote."""
    below_threshold: int = 0
    """Rows whose score is below the threshold."""


class Source(ABC):
    """A source of text pairs.

    Making the object is cheap. What it needs is looked for when `versions` is called, before anything is read.

    Example::

        class Tickets(Source):
            name = "tickets"

            def versions(self):
                return {"tickets.db": "2026-11"}

            def licences(self):
                return {"tickets.db": "internal"}

            def read(self):
                yield RawPair("Printer is offline", "Restart the spooler, then print a test page.", group="printing")

        pairs = build_from([Tickets()], "pairs/")
    """

    name: str
    rules: Rules = Rules()
    unparsed = 0
    """Modules of Python that `read` could not parse, known once it has ended."""
    unused = Unused()
    """What `read` passed over, known once it has ended."""
    read_as: tuple[str, ...] = ()
    """How `read` understood the user's rows, such as "FlagEmbedding: query, pos, neg"."""
    scored = False
    """Whether `read` met scores, which a threshold can be compared with."""

    @property
    def scope(self) -> str:
        """The namespace of its groups' names. Each scope gives its own share of rows to every held-out split.

        It is a part of the content hash. Where the name says where a file lies, the scope must not.
        """
        return self.name

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Say what exactly is read: package or file -> version. Equal versions must give equal pairs.

        Raises:
            PairsError: what the source reads is not there; the message says how to get it.
        """

    @abstractmethod
    def licences(self) -> dict[str, str]:
        """Say the licence of each part that `versions` names."""

    @abstractmethod
    def read(self) -> Iterator[RawPair]:
        """Give all pairs in a fixed order.

        Raises:
            PairsError: the source cannot be read.
        """


class PackagedSource(Source):
    """A source that reads the texts inside installed Python packages, whose versions and licences are theirs."""

    packages: tuple[str, ...]
    extra = "demo"

    def versions(self) -> dict[str, str]:
        """The installed version of every package, without the build: torch 2.13.0+cpu holds the texts of 2.13.0."""
        return {name: distribution(name, self.extra).version.partition("+")[0] for name in self.packages}

    def licences(self) -> dict[str, str]:
        """The licence that each package's metadata names."""
        return {name: licence_of(distribution(name, self.extra)) for name in self.packages}


def distribution(package: str, extra: str = "demo") -> importlib.metadata.Distribution:
    """Find an installed package.

    Raises:
        PairsError: it is missing; the message names the extra that brings it.
    """
    try:
        return importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise PairsError(f"package {package} is not installed; get it with: pip install 'embudget[{extra}]'") from None


def package_folder(package: str, folder: str) -> Path:
    """Find a folder of data files inside an installed package.

    Raises:
        PairsError: the package is missing, or comes without the folder, as some Linux distributions strip it.
    """
    path = Path(str(distribution(package).locate_file(folder)))
    if not path.is_dir():
        raise PairsError(f"package {package} has no folder {folder}; reinstall it with: pip install -I {package}")
    return path


def licence_of(package: importlib.metadata.Distribution) -> str:
    """Read the licence from the package's metadata: its SPDX expression, else a short name, else its classifiers.

    A field that holds the whole text, with over 100 characters or several lines, is passed over.
    """
    metadata = package.metadata
    for field in ("License-Expression", "License"):
        value = next(iter(metadata.get_all(field) or []), "").strip()
        if value and "\n" not in value and len(value) <= 100:
            return value
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return "; ".join(line.rpartition(" :: ")[2] for line in classifiers) or "see the package"
