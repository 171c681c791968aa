"""What the sources that read Debian packages have in common: the package's name, how to get it, and its licence."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Source


class DebianSource(Source):
    """A source that reads the data files of one Debian or Ubuntu package.

    Args:
        folder: where the package has put its files.
    """

    package: str
    licence: str
    files: tuple[str, ...]
    """The files in the folder, in the order in which they are read."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def versions(self) -> dict[str, str]:
        """Hash the files, since a package's version says nothing where its files were unpacked by hand."""
        digest = hashlib.sha256()
        for name in self.files:
            digest.update(self.contents(name))
        return {self.package: digest.hexdigest()[:16]}

    def licences(self) -> dict[str, str]:
        """The licence that the package's copyright file names."""
        return {self.package: self.licence}

    @abstractmethod
    def read(self) -> Iterator[RawPair]:
        """Give all pairs in a fixed order."""

    def contents(self, name: str) -> bytes:
        """Read one of the files.

        Raises:
            PairsError: it is missing or cannot be read; the message says how to get it.
        """
        path = self.folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise PairsError(f"{path} is missing; get it with: apt-get install {self.package}") from None
        except OSError as error:
            raise PairsError(f"cannot read {path}: {error.strerror}; {self.again}") from None

    @property
    def again(self) -> str:
        """What to do about damaged files."""
        return f"get it again with: apt-get install --reinstall {self.package}"
