"""What a source of text pairs is."""

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from embudget.errors import PairsError
from embudget.pairs.text import MAX_CHARACTERS


class RawPair(NamedTuple):
    """A pair as the source holds it, before cleaning."""

    query: str
    positive: str
    group: str | None
    """Pairs of a group stay in one split; None: the pair is a group of its own."""


class Rules(NamedTuple):
    """What the sides of a source's pairs must be to be kept."""

    query_words: int = 3
    positive_words: int = 5
    prose: bool = True
    """At least 70 % of the characters of each side are letters or spaces."""
    characters: int | None = MAX_CHARACTERS
    """Longer sides are cut at a word; None: they stay whole, as a user's own texts do."""


class Source(ABC):
    """A source of text pairs. Making one is cheap; what it needs is looked for when it is asked for versions."""

    name: str
    rules: Rules = Rules()

    @property
    def scope(self) -> str:
        """What the names of its groups are unique in; unlike the name, it never says where a file lies."""
        return self.name

    @property
    def unparsed(self) -> int:
        """Modules of which the last reading could make nothing; known once `read` has ended."""
        return 0

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """What exactly is read: package or file -> version. Equal versions give equal pairs.

        Raises:
            PairsError: what the source reads is not there; the message says how to get it.
        """

    @abstractmethod
    def licences(self) -> dict[str, str]:
        """Licence of each part that `versions` names."""

    @abstractmethod
    def read(self) -> Iterator[RawPair]:
        """All pairs in a fixed order.

        Raises:
            PairsError: the source cannot be read.
        """


def distribution(package: str, extra: str = "demo") -> importlib.metadata.Distribution:
    """An installed package.

    Raises:
        PairsError: it is missing; the message names the extra that brings it.
    """
    try:
        return importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise PairsError(f"package {package} is not installed; get it with: pip install 'embudget[{extra}]'") from None


def package_folder(package: str, folder: str) -> Path:
    """A folder of files inside an installed package.

    Raises:
        PairsError: the package is missing, or comes without the folder (some Linux distributions strip it).
    """
    path = Path(str(distribution(package).locate_file(folder)))
    if not path.is_dir():
        raise PairsError(f"package {package} has no folder {folder}; reinstall it with: pip install -I {package}")
    return path


def licence_of(package: importlib.metadata.Distribution) -> str:
    """The licence as the package's metadata states it: expression, short name or classifier."""
    metadata = package.metadata
    for field in ("License-Expression", "License"):
        value = next(iter(metadata.get_all(field) or []), "").strip()
        if value and "\n" not in value and len(value) <= 100:
            return value
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return "; ".join(line.rpartition(" :: ")[2] for line in classifiers) or "see the package"
