"""Manual pages of the installed packages: name and one-line description -> the beginning of DESCRIPTION.

Pages in English below the folder are read, in roff as they lie there, so neither man nor groff is needed. Pages that
only refer to another one, and links, are passed over. Containers usually have no manual pages, because their dpkg is
told to leave them out.

A group is the Debian package that a page belongs to, by dpkg's lists, since its pages describe each other. Licence:
each package's own.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Rules, Source
from embudget.pairs.sources.roff import sections

_PARAGRAPHS = 4  # taken from the description; more would be cut anyway


class Man(Source):
    """The pages below a folder.

    Args:
        folder: holds man1, man2, ...
        dpkg: the folder of dpkg's lists of files, PACKAGE.list; where it is missing, each page is its own group.
    """

    name = "man"
    rules = Rules(query_words=3, positive_words=8)

    def __init__(self, folder: str = "/usr/share/man", dpkg: str = "/var/lib/dpkg/info") -> None:
        self.folder = Path(folder)
        self.dpkg = Path(dpkg)

    def versions(self) -> dict[str, str]:
        """Hash the pages' texts."""
        digest = hashlib.sha256()
        for pair in self._pairs:
            digest.update("\x1f".join((pair.query, pair.positive, pair.group or "")).encode() + b"\x1e")
        return {"man pages": digest.hexdigest()[:16]}

    def licences(self) -> dict[str, str]:
        """The licence differs from package to package."""
        return {"man pages": "each package's own"}

    def read(self) -> Iterator[RawPair]:
        """Pages in the alphabetical order of their paths."""
        yield from self._pairs

    @cached_property
    def _pairs(self) -> list[RawPair]:
        pages = [path for path in sorted(self.folder.glob("man[1-9]*/*")) if path.is_file() and not path.is_symlink()]
        if not pages:
            raise PairsError(
                f"{self.folder} holds no manual pages; get some with: apt-get install manpages manpages-dev "
                "(in a container, first delete the path-exclude lines in /etc/dpkg/dpkg.cfg.d; on Ubuntu: unminimize)"
            )
        owners = self._owners()
        found = (pair_of_page(_read(path), owners.get(str(path), path.name.partition(".")[0])) for path in pages)
        return [pair for pair in found if pair is not None]

    def _owners(self) -> dict[str, str]:
        """Map the path of each page to its package; ``libc6:amd64`` and ``libc6`` are one."""
        prefix = f"{self.folder}/"
        owners = {}
        for path in sorted(self.dpkg.glob("*.list")):
            package = path.stem.partition(":")[0]
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith(prefix):
                    owners[line] = package
        return owners


def pair_of_page(source: str, group: str) -> RawPair | None:
    """Make the pair of a page, or None if it has no title line or no description, as one that refers to another has."""
    found = sections(source, ("NAME", "DESCRIPTION"))
    title = " ".join(found.get("NAME", ()))
    name, dash, summary = title.partition(" - ")
    description = "\n".join(found.get("DESCRIPTION", [])[:_PARAGRAPHS])
    if not dash or not description:
        return None
    return RawPair(f"{name.strip()}: {summary.strip()}", description, group)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise PairsError(f"cannot read the manual page {path}: {error}") from None
    return data.decode("utf-8", errors="replace")
