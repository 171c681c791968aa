"""What `pairs.json` says of a folder of pairs: its origin, its files, what was left out, how long the texts are.

Everything else about the folder follows from this file: which Parquet files belong to a split, what they must hash to,
and whether an equal request was answered here before.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from embudget.errors import PairsError
from embudget.files import write_whole
from embudget.frozen import Frozen
from embudget.pairs.comparison import Reason
from embudget.pairs.negatives import NEGATIVES, NegativeFlaw
from embudget.pairs.splitting import SPLITS, Split
from embudget.reading import read_json

MANIFEST = "pairs.json"
FORMAT: Literal[1] = 1
"""Version of `pairs.json` and of the files it describes. A folder of another version is refused."""
CLEANING = 4
"""Version of the rules that turn sources into pairs. Raise it whenever the same sources would give other pairs, so that
pairs from before are built again instead of reused."""
INDEX = "index"
"""The only source of a folder whose files embudget did not write itself, see `embudget.pairs.index`."""

Side = Literal["query", "positive"]
SIDES: tuple[Side, ...] = get_args(Side)
Share = Annotated[float, Field(ge=0, le=1)]


class Mining(Frozen):
    """How hard negatives were asked for: from which model, and how near to the query they may be."""

    pairs: str = Field(description="content hash of the pairs that they were mined in")
    model: str = Field(description="as the user named it")
    weights: str = Field(description="hash of the model, or its commit on the hub; empty where it comes with a package")
    max_length: PositiveInt | None = Field(default=None, description="tokens at which texts are cut; null: the model's")
    negatives: PositiveInt = Field(description="of each pair at most")
    margin: float = Field(description="by how much a negative must be less similar to the query than its positive")
    absolute: bool = Field(default=False, description="whether that is cosine, not a share of the positive's")
    range_min: NonNegativeInt = Field(default=0, description="most similar candidates that are passed over")
    range_max: PositiveInt | None = Field(default=None, description="candidates that are looked at; null: 10 of each")


class Mined(Frozen):
    """What mining found and what it cost."""

    pairs: NonNegativeInt = Field(description="training pairs that got a negative")
    negatives: NonNegativeInt = Field(description="of all pairs together")
    tokens: NonNegativeInt = Field(description="that went through the model, each distinct text once")
    flops: NonNegativeFloat = Field(description="2N for each of these; no part of any run's budget")


class Request(Frozen):
    """What was asked for. Equal requests give equal pairs, so a folder that answers one can be reused."""

    sources: tuple[str, ...]
    versions: dict[str, str] = Field(description="package or file -> version or content hash")
    query_column: str | None = None
    positive_column: str | None = None
    limit: PositiveInt | None = Field(default=None, description="pairs per source after cleaning")
    seed: NonNegativeInt = 0
    near_duplicates: bool = Field(default=True, description="whether near-duplicates were dropped")
    one_per_query: bool = False
    skip_bad: bool = Field(default=False, description="whether bad rows were left out instead of refused")
    threshold: float | None = Field(
        default=None, allow_inf_nan=False, description="score from which two sentences are a pair; null: 0.8 of 1"
    )
    resplit: bool = Field(default=False, description="whether the data's own splits were passed over")
    weights: dict[str, float] = Field(default={}, description="source -> weight of its training pairs; empty: all stay")
    mining: Mining | None = Field(default=None, description="how hard negatives were added to what was asked for")
    cleaning: PositiveInt = CLEANING


class SourceInfo(Frozen):
    """What one source gave, and what became of it."""

    candidates: NonNegativeInt = Field(description="pairs before cleaning, modules not parsed and bad rows")
    dropped: dict[Reason, PositiveInt] = Field(description="pairs left out, by the first rule they broke")
    bad_rows: tuple[str, ...] = Field(default=(), description="what is wrong with the first bad rows left out")
    doubtful_rows: tuple[str, ...] = Field(
        default=(), description="where rows were read whose lines look like rows of their own"
    )
    ignored_columns: tuple[str, ...] = ()
    ignored_splits: tuple[str, ...] = ()
    read_as: tuple[str, ...] = Field(default=(), description="layouts of the rows and the columns that were used")
    own_splits: tuple[Split, ...] = Field(default=(), description="splits that the data came with")
    negatives: NonNegativeInt = Field(default=0, description="hard negatives kept")
    dropped_negatives: dict[NegativeFlaw, PositiveInt] = Field(default={})
    pairs: dict[Split, NonNegativeInt]
    versions: dict[str, str]
    licences: dict[str, str]


class FileInfo(Frozen):
    """One Parquet file: how many pairs it holds, and what tells it from a damaged or changed one."""

    name: str = Field(pattern=r"^[^/\\]+$")
    pairs: NonNegativeInt
    bytes: PositiveInt
    sha256: str = Field(description="of the file, or of its size and pieces")
    pieces: PositiveInt | None = Field(
        default=None, ge=2, description="pieces of 1 MiB that sha256 covers; null: the whole file"
    )


class SplitInfo(Frozen):
    """One split: its files in the order of their rows."""

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
    """Quantiles of the tokens per text after the cut: 5, 25, 50, 75 and 95 %."""

    p5: NonNegativeFloat
    p25: NonNegativeFloat
    p50: NonNegativeFloat
    p75: NonNegativeFloat
    p95: NonNegativeFloat


class TokenStats(Frozen):
    """How long the training texts are in tokens of one tokenizer, its special tokens included."""

    tokenizer: str
    max_length: PositiveInt
    pairs: PositiveInt = Field(description="training pairs measured")
    query_mean: NonNegativeFloat = Field(description="tokens per query after the cut at max_length")
    positive_mean: NonNegativeFloat = Field(description="tokens per positive after the cut at max_length")
    query_cut: Share = Field(description="share of queries that are longer than max_length")
    positive_cut: Share = Field(description="share of positives that are longer than max_length")
    query_quantiles: Quantiles
    positive_quantiles: Quantiles
    negatives: NonNegativeInt = Field(default=0, description="hard negatives of each pair that are measured")
    negatives_mean: NonNegativeFloat = Field(default=0.0, description="tokens of all of these of a pair, after the cut")
    squares_mean: NonNegativeFloat | None = Field(
        default=None, description="sum of the squared lengths of a pair's texts after the cut; absent in older folders"
    )

    @property
    def tokens_per_pair(self) -> float:
        """Mean tokens of a query, its positive and its negatives. A run on n pairs processes D = n times as many."""
        return self.query_mean + self.positive_mean + self.negatives_mean

    @property
    def attention_length(self) -> float:
        """The length of the text in which the mean token stands: texts all so long would cost as much attention.

        That is sum(L^2) / sum(L). Where the squares were not measured the longer side's mean stands for it, which is
        less.
        """
        if self.squares_mean is None or not self.tokens_per_pair:
            return max(self.query_mean, self.positive_mean)
        return self.squares_mean / self.tokens_per_pair


class Together(Frozen):
    """How much pairs share their texts, which decides what may be held out; see `embudget.pairs.splitting`."""

    largest: NonNegativeInt = Field(description="pairs of the largest set that has to stay in one split")
    labelled: NonNegativeInt = Field(description="pairs whose positive is as frequent as a label")


class PairsInfo(Frozen):
    """The contents of `pairs.json`."""

    format: Literal[1] = FORMAT
    hash: str = Field(description="content hash, 16 hexadecimal digits, see embudget.pairs.build.content_hash")
    request: Request
    columns: dict[Side, str] = Field(default={}, description="names in the files, where they are others")
    negatives: tuple[str, ...] = Field(
        default=(NEGATIVES,), description="columns of hard negatives in the files, texts or lists, where they are there"
    )
    splits: dict[Split, SplitInfo]
    sources: dict[str, SourceInfo]
    together: Together | None = Field(default=None, description="null: not counted")
    mined: Mined | None = Field(default=None, description="null: no hard negatives were mined")
    tokens: dict[str, TokenStats] = Field(
        default={},
        description="'{tokenizer}@{max_length}', of a folder '{folder} sha256:{8 digits}@{max_length}' -> lengths",
    )

    @property
    def indexed(self) -> bool:
        """Whether the files are the user's own, which embudget found and described but did not write."""
        return self.request.sources == (INDEX,)

    @model_validator(mode="before")
    @classmethod
    def _one_file_a_split(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file held
        """Accept folders written before a split could have several files.

        Their splits hold the size and hash of `{split}.parquet` directly, without a list of files.
        """
        splits = data.get("splits") if isinstance(data, Mapping) else None
        if not isinstance(splits, Mapping):
            return data
        return {**data, "splits": {split: _with_files(split, found) for split, found in splits.items()}}


def _with_files(split: str, found: Any) -> Any:  # noqa: ANN401 - whatever the file held
    if not isinstance(found, Mapping) or "files" in found or not {"pairs", "bytes", "sha256"} <= found.keys():
        return found
    rest = dict(found)
    hashed = {"bytes": rest.pop("bytes"), "sha256": rest.pop("sha256")}
    file = {"name": f"{split}.parquet", "pairs": rest["pairs"], **hashed}
    return {**rest, "files": (file,)}


def read_info(folder: Path) -> PairsInfo:
    """Read the `pairs.json` of a folder.

    Raises:
        PairsError: it is missing, damaged, or of another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise PairsError(f"{folder} is not a pairs folder: it holds no {MANIFEST}")
    data = read_json(path, PairsError)
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise PairsError(f"{path}: format must be {FORMAT}, got {found!r}")
    info = PairsInfo.read(data, str(path), PairsError)
    missing = [split for split in SPLITS if split not in info.splits]
    if missing:
        raise PairsError(f"{path}: splits.{missing[0]} is required")
    return info


def write_info(folder: Path, info: PairsInfo) -> None:
    """Write `pairs.json` in one step, so that whoever reads meanwhile sees the old one or the new one.

    Raises:
        OSError: the folder cannot be written.
    """
    write_whole(folder / MANIFEST, json.dumps(info.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
