"""What `pairs.json` holds: where the pairs come from, how many there are, what was left out, how long they are."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from embudget.frozen import Frozen
from embudget.pairs.clean import Reason
from embudget.pairs.split import Split

FORMAT: Literal[1] = 1
"""Of the folder and its files; another one is refused."""
CLEANING = 2
"""Of the rules that turn sources into pairs: raised whenever the same sources would give other pairs."""
INDEX = "index"
"""The one source of a folder whose files embudget did not write, see embudget.pairs.index."""

Side = Literal["query", "positive"]
SIDES: tuple[Side, ...] = get_args(Side)
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


class FileInfo(Frozen):
    """One Parquet file."""

    name: str = Field(pattern=r"^[^/\\]+$")
    pairs: NonNegativeInt
    bytes: PositiveInt
    sha256: str = Field(description="of the file, or of its size and pieces")
    pieces: PositiveInt | None = Field(
        default=None, ge=2, description="pieces of 1 MiB that sha256 covers; null: the whole file"
    )


class SplitInfo(Frozen):
    """One split and its files, in the order of their rows."""

    pairs: NonNegativeInt
    groups: NonNegativeInt | None = Field(default=None, description="null: not counted")
    files: tuple[FileInfo, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        found = sum(file.pairs for file in self.files)
        if found != self.pairs:
            raise ValueError(f"pairs must be the sum over files, {found}, got {self.pairs}")
        return self


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
    columns: dict[Side, str] = Field(default={}, description="names in the files, where they are others")
    splits: dict[Split, SplitInfo]
    sources: dict[str, SourceInfo]
    tokens: dict[str, TokenStats] = Field(
        default={},
        description="'{tokenizer}@{max_length}', of a folder '{folder} sha256:{8 digits}@{max_length}' -> lengths",
    )

    @property
    def indexed(self) -> bool:
        """Whether embudget found the files instead of writing them."""
        return self.request.sources == (INDEX,)

    @model_validator(mode="before")
    @classmethod
    def _one_file_a_split(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file held
        """Read what was written before a split could have several files: the size and hash of `{split}.parquet`."""
        splits = data.get("splits") if isinstance(data, Mapping) else None
        if not isinstance(splits, Mapping):
            return data
        return {**data, "splits": {split: _with_files(split, found) for split, found in splits.items()}}


def _with_files(split: str, found: Any) -> Any:  # noqa: ANN401 - whatever the file held
    if not isinstance(found, Mapping) or not {"pairs", "bytes", "sha256"} <= found.keys() or "files" in found:
        return found
    file = {"name": f"{split}.parquet", **{key: found[key] for key in ("pairs", "bytes", "sha256")}}
    return {**{key: value for key, value in found.items() if key not in ("bytes", "sha256")}, "files": (file,)}
