"""One task that models are scored on, whatever its data are."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask


class TextSize(NamedTuple):
    """Texts of about one length that a model must embed for a task."""

    number: int
    characters: float
    """Mean length."""


class BenchmarkTask(ABC):
    """One task, with whatever must be known of it before it is scored."""

    name: str
    """As tables, records and mteb's results call it."""
    content: str | None = None
    """Hash of local data, by which cached scores are found; None of mteb's own data."""
    ranks: bool = False
    """Whether it is retrieval, which lexical systems can do too."""

    @abstractmethod
    def make(self) -> "AbsTask":
        """A fresh task of mteb, for one model."""

    @abstractmethod
    def sizes(self) -> list[TextSize] | None:
        """How much text a model embeds for it; None where nobody knows."""

    def sample(self) -> Sequence[str]:
        """Texts to measure a model's speed on; none where the data are mteb's."""
        return ()
