"""A format states what it needs, which models it can hold, how it is written, and how what it wrote is used."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from embudget.errors import ConfigError

if TYPE_CHECKING:
    from embudget.exports.check import Check
    from embudget.exports.exportable import Exportable


class Format(ABC):
    """One way to write a model. `embudget.exports.formats` lists them by name."""

    name: ClassVar[str]
    """As ``--to`` has it."""
    extra: ClassVar[str] = "train"
    """The extra of embudget that installs what the format needs."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What must be importable beyond the extra `train`."""
    takes_fp16: ClassVar[bool] = False
    """Whether the format can be written in half precision."""

    def check(self, source: "Exportable") -> None:  # noqa: B027 - most formats hold every model
        """Refuse a model that the format cannot hold.

        Raises:
            ExportError: says what is in the way.
        """

    @abstractmethod
    def write(self, source: "Exportable", folder: Path, fp16: bool) -> "Check | None":
        """Write the model into an empty folder.

        Returns:
            How far its own runtime's embeddings are from torch's and how fast it is; None where torch is the runtime.

        Raises:
            ExportError: it cannot be written, or its embeddings differ from torch's.
            OSError: the folder is full.
        """

    @abstractmethod
    def usage(self, source: "Exportable") -> str:
        """How to load and use it, in Markdown: a fenced block of Python, and what to mind."""


def check_packages(chosen: Format) -> None:
    """Refuse a format whose packages are not installed, before any work is done.

    Raises:
        ConfigError: names the package and the command that installs it.
    """
    from importlib.util import find_spec

    if missing := [package for package in chosen.packages if find_spec(package) is None]:
        raise ConfigError(
            f"export to {chosen.name} needs the package {missing[0]}: pip install 'embudget[{chosen.extra}]'"
        )


def one_of(names: Sequence[str]) -> str:
    """Names for a message: a, b or c."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
