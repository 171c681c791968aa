"""What `pairs.json` holds: where the pairs come from, how many there are, what was left out, how long they are."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from embudget.frozen import Frozen
from embudget.pairs.clean import Reason
from embudget.pairs.split import Split

FORMAT: Literal[1] = 1
"""Of the folder and its files; another one is refused."""
CLEANING = 2
"""Of the rules that turn sources into pairs: raised whenever the same sources would give other pairs."""

Share = Annotated[float, Field(ge=0, le=1)]


class Request(Frozen):
    """What was asked for. Equal requests give equal pairs."""

    sources: tuple[str, ...]
    versions: dict[str, str] = Field(description="package or file -> version or content hash")
    query_column: str | None = None
    positive_column: str | None = None
    limit: PositiveInt | None = Field(default=None, description="pairs per source after cleaning")
    seed: NonNegativeInt = 0
    cleaning: PositiveInt = CLEANING


class SourceInfo(Frozen):
    """One source: what it gave and what became of it."""

    candidates: NonNegativeInt = Field(description="pairs before cleaning, and modules not parsed")
    dropped: dict[Reason, PositiveInt] = Field(description="pairs left out, by the first rule they broke")
    pairs: dict[Split, NonNegativeInt]
    versions: dict[str, str]
    licences: dict[str, str]


class SplitInfo(Frozen):
    """One split and its file."""

    pairs: NonNegativeInt
    groups: NonNegativeInt
    bytes: PositiveInt
    sha256: str = Field(description="of the file")


class Quantiles(Frozen):
    """Tokens per text after the cut."""

    p5: NonNegativeFloat
    p25: NonNegativeFloat
    p50: NonNegativeFloat
    p75: NonNegativeFloat
    p95: NonNegativeFloat


class TokenStats(Frozen):
    """Length of the training texts in tokens of one tokenizer, its special tokens included."""

    tokenizer: str
    max_length: PositiveInt
    pairs: PositiveInt = Field(description="training pairs measured")
    query_mean: NonNegativeFloat = Field(description="tokens per query after the cut at max_length")
    positive_mean: NonNegativeFloat = Field(description="tokens per positive after the cut at max_length")
    query_cut: Share = Field(description="share of queries that are longer than max_length")
    positive_cut: Share = Field(description="share of positives that are longer than max_length")
    query_quantiles: Quantiles
    positive_quantiles: Quantiles

    @property
    def tokens_per_pair(self) -> float:
        """Tokens per pair: D of a run is this times the pairs seen."""
        return self.query_mean + self.positive_mean


class PairsInfo(Frozen):
    """The contents of `pairs.json`."""

    format: Literal[1] = FORMAT
    hash: str = Field(description="16 hexadecimal digits, see embudget.pairs.folder.content_hash")
    request: Request
    splits: dict[Split, SplitInfo]
    sources: dict[str, SourceInfo]
    tokens: dict[str, TokenStats] = Field(
        default={},
        description="'{tokenizer}@{max_length}', of a folder '{folder} sha256:{8 digits}@{max_length}' -> lengths",
    )
