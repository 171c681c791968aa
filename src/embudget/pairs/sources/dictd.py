"""How a dictionary for the DICT server is stored: an index of headwords beside all entries in one compressed text.

Each line of the index holds a headword, and the offset and length of its entry in bytes, both in base 64 without
padding. Several headwords may lead to one entry. The format is described in dictfmt(1).
"""

import base64
import gzip
import re
import zlib
from collections.abc import Iterator

from embudget.errors import PairsError
from embudget.pairs.sources.debian import DebianSource

_REFERENCE = re.compile(
    r"(?:see|see also|compare|cf|same as|of|pl\. of|imp\.|pret\.|p\. ?p\.|p\. pr\.|alt\. of|a variant of|variant of|"
    r"a contraction of|contraction of|another (?:name|term) for|do you mean|synonym(?:ous)? (?:of|with|for))(?!\w)",
    re.IGNORECASE,
)
_REFERENCE_WORDS = 9  # a longer text explains something besides


class Dictionary(DebianSource):
    """The entries of a dictionary: the file NAME.index beside NAME.dict.dz."""

    def __init__(self, folder: str = "/usr/share/dictd") -> None:
        super().__init__(folder)

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        """The index and the text."""
        return f"{self.name}.index", f"{self.name}.dict.dz"

    def entries(self) -> Iterator[str]:
        """Give each entry once, in the order of the text, without those that describe the dictionary itself.

        Raises:
            PairsError: a file is missing or damaged.
        """
        try:
            index = self.contents(self.files[0]).decode("utf-8")
            text = gzip.decompress(self.contents(self.files[1]))
            for begin, length in spans(index):
                yield text[begin : begin + length].decode("utf-8", errors="replace")
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise PairsError(f"cannot read the dictionary {self.name}: {error}; {self.again}") from None


def spans(index: str) -> list[tuple[int, int]]:
    r"""List the offsets and lengths that an index names, each once and in ascending order.

    Example:
        >>> spans("00-database-info\tA\tB\ncat\tBA\tC\nfeline\tBA\tC")
        [(64, 2)]
    """
    found = set()
    for line in index.splitlines():
        headword, *numbers = line.split("\t")
        if len(numbers) >= 2 and not headword.startswith("00-"):
            # base64 decodes multiples of 4 digits; A is the digit 0
            begin, length = (
                int.from_bytes(base64.b64decode(number.rjust(8, "A"), validate=True)) for number in numbers[:2]
            )
            found.add((begin, length))
    return sorted(found)


def is_reference(text: str) -> bool:
    """Whether a text only says where else to look, as "See hacker." and "Same as Weir." do."""
    return len(text.split()) <= _REFERENCE_WORDS and _REFERENCE.match(text) is not None
