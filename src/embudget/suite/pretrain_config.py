"""The configuration of `embudget suite pretrain`: sizes, text, tokens, and how to train."""

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from embudget.errors import ConfigError
from embudget.frozen import Frozen
from embudget.suite.corpus import SMALLEST_VOCABULARY


def _whole(value: object) -> object:
    """YAML reads 1e9 as text: accept it where a whole number is meant."""
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return int(number) if isinstance(number, float) and number.is_integer() else value


class MemberConfig(Frozen):
    """The sizes of one model."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(description="name of its folder")
    layers: PositiveInt
    hidden: PositiveInt
    heads: PositiveInt
    intermediate: PositiveInt | None = Field(default=None, description="4 * hidden where not given")
    learning_rate: PositiveFloat | None = Field(default=None, description="peak rate; the suite's where not given")

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in ("corpus", "checkpoints"):
            raise ValueError("corpus and checkpoints are folders of the run itself")
        return name

    @field_validator("heads")
    @classmethod
    def _divides_hidden(cls, heads: int, info: ValidationInfo) -> int:
        hidden = info.data.get("hidden", 8 * heads)
        if hidden % (8 * heads):  # rotary positions take a quarter of each head, in pairs
            raise ValueError(f"hidden={hidden} must be a multiple of 8 * heads")
        return heads


class PretrainConfig(Frozen):
    """Everything that determines the pre-training of a suite."""

    text: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="files, glob patterns or folders of pairs: .txt, .md, .jsonl, .parquet"
    )
    field: str = Field(default="text", description="of .jsonl and .parquet; pairs have query and positive instead")
    vocab_size: Annotated[int, Field(ge=SMALLEST_VOCABULARY)] = 8192
    members: Annotated[tuple[MemberConfig, ...], Field(min_length=1)]
    tokens: Annotated[PositiveInt, BeforeValidator(_whole)] = Field(description="of every member; whole batches count")
    sequence_length: Annotated[int, Field(ge=2)] = Field(
        default=128, description="tokens; also the longest input later"
    )
    batch_size: PositiveInt = Field(default=32, description="sequences a step")
    learning_rate: PositiveFloat = Field(default=1e-3, description="peak rate")
    warmup: float = Field(default=0.01, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: NonNegativeFloat = 0.1
    seed: NonNegativeInt = 0
    heldout: float = Field(default=0.01, gt=0, lt=0.5, description="share of the documents kept for the perplexity")
    max_epochs: PositiveInt = Field(default=1, description="passes over the text before the run is refused")
    checkpoint_seconds: PositiveFloat = 120.0
    checkpoint_steps: PositiveInt | None = Field(default=None, description="besides the seconds")

    @field_validator("members")
    @classmethod
    def _are_distinct(cls, members: tuple[MemberConfig, ...]) -> tuple[MemberConfig, ...]:
        if len({member.name for member in members}) < len(members):
            raise ValueError("two members have the same name")
        return members

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a configuration; its text paths are relative to the working directory.

        Raises:
            ConfigError: the file cannot be read, or breaks a rule.
        """
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
        return cls.read(data, str(path))
