"""What is a model made of? A description of ten lines from which everything else about an architecture follows.

A description names the list of blocks inside the model that `transformers.AutoModel` loads, the linear layers and norms
of one block with their sizes, and what comes before and after the blocks. N, FLOP, what a method trains, LoRA's
targets, and where a model may be cut are all read from it. It loads no weights and no torch.

A size is a sum of products of names and whole numbers; a layer is a size, or two with an `x` between them:

    self_attn.q_proj: hidden x q, bias attention_bias      a linear layer; biases where the configuration says so
    attn.c_attn: hidden x q + 2 kv, bias                   always with biases
    self_attn.q_norm: head_dim, if use_qk_norm             a norm that exists only where the configuration says so
    post_norm: hidden, bias, if not use_parallel_residual

The names: `hidden`, `q` (heads times head_dim), `kv` (kv_heads times head_dim), `head_dim`, `heads`, `kv_heads`,
`intermediate`, `max_length`, `vocab`, and any field of the configuration that holds a whole number.
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from embudget.errors import shortened
from embudget.frozen import Frozen
from embudget.limits import MOST_SIZE

Part = Literal["attention", "mlp"]
"""The two halves of a block, by which LoRA may choose its layers."""

Size = Literal["layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab", "max_length"]
"""What a description must know about every model, read from its configuration."""

Setting: TypeAlias = bool | int
"""The value of a field of the configuration that decides about a layer: a flag or a size."""

LLAMA_FIELDS: dict[Size, str] = {
    "layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads", "head_dim": "head_dim", "intermediate": "intermediate_size",
    "vocab": "vocab_size", "max_length": "max_position_embeddings",
}  # fmt: skip
"""Fields of the configuration that hold the sizes, where a description names no others."""

_NAME = r"[A-Za-z_]\w*"
_FACTOR = re.compile(rf"{_NAME}|\d+")
_CONDITION = re.compile(rf"(bias|if)(?: (not)(?= ))?(?: ({_NAME}))?")
_COMPUTED = {"q", "kv"}


class Condition(NamedTuple):
    """Whether something exists: always, or where a field of the configuration is true or false."""

    field: str | None = None
    wanted: bool = True

    def holds(self, known: Mapping[str, object]) -> bool:
        """Whether it holds for a configuration; a field that is not there counts as false."""
        return self.wanted if self.field is None else bool(known.get(self.field)) == self.wanted


class Layer(NamedTuple):
    """One weight of a description: its sides, each a sum of products, and when it and its bias exist."""

    sides: tuple[tuple[tuple[str | int, ...], ...], ...]
    bias: Condition
    exists: Condition

    @property
    def names(self) -> set[str]:
        """The names that its sizes consist of."""
        return {factor for side in self.sides for term in side for factor in term if isinstance(factor, str)}

    def evaluate(self, known: Mapping[str, Any]) -> tuple[int, ...]:
        """The lengths of its sides."""
        return tuple(sum(_product(term, known) for term in side) for side in self.sides)


def _product(term: tuple[str | int, ...], known: Mapping[str, Any]) -> int:
    return math.prod(known[factor] if isinstance(factor, str) else factor for factor in term)


@lru_cache(maxsize=1024)
def parse_layer(text: str) -> Layer:
    """Read a layer as a description writes it.

    Raises:
        ValueError: it is not written so.

    Example:
        >>> parse_layer("hidden x q + 2 kv, bias").evaluate({"hidden": 64, "q": 64, "kv": 32})
        (64, 128)
    """
    size, *conditions = (piece.strip() for piece in text.split(","))
    found = {"bias": Condition(wanted=False), "if": Condition()}
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None or (match[1] == "if" and match[3] is None) or (match[2] and match[3] is None):
            raise ValueError(f"must be a size, then `bias`, `bias FIELD` or `if FIELD` behind commas, got {text!r}")
        found[match[1]] = Condition(match[3], match[2] is None)
    sides = tuple(_sum(side, text) for side in re.split(r"\s+x\s+", size))
    if len(sides) > 2:
        raise ValueError(f"must be a size, or two as in hidden x intermediate, got {text!r}")
    return Layer(sides, found["bias"], found["if"])


def _sum(side: str, text: str) -> tuple[tuple[str | int, ...], ...]:
    terms = []
    for term in side.split("+"):
        factors = re.split(r"\s*\*\s*|\s+", term.strip())
        if not all(_FACTOR.fullmatch(factor) for factor in factors):
            raise ValueError(f"must be a size such as hidden, 3 * hidden or q + 2 * kv, got {text!r}")
        if not all(_is_size(factor) for factor in factors if factor.isdecimal()):
            raise ValueError(f"must have numbers from 1 to {MOST_SIZE:,}, got {shortened(repr(text), 80)}")
        terms.append(tuple(int(factor) if factor.isdecimal() else factor for factor in factors))
    return tuple(terms)


def _is_size(number: str) -> bool:
    return len(number) <= len(str(MOST_SIZE)) and 1 <= int(number) <= MOST_SIZE


def _readable(text: str) -> str:
    parse_layer(text)
    return text


Path_ = Annotated[str, StringConstraints(pattern=rf"^{_NAME}(\.\w+)*$")]
"""Where a module is inside another, as `torch.nn.Module.get_submodule` takes it."""
LayerText = Annotated[str, AfterValidator(_readable)]


class Architecture(Frozen):
    """A description of one architecture: see this module for how its layers are written.

    Example:
        >>> Architecture(
        ...     model_type="mine", blocks="layers", final_norm={"norm": "hidden"}, norms={"norm": "hidden"},
        ...     attention={"qkv": "hidden x q + 2 kv", "out": "q x hidden"},
        ...     mlp={"up": "hidden x intermediate", "down": "intermediate x hidden"},
        ... ).fields["layers"]
        'num_hidden_layers'
    """

    model_type: str = Field(min_length=1, description="the value of `model_type` in its configuration")
    blocks: Path_ = Field(description="where the list of blocks is in the model that AutoModel loads")
    final_norm: dict[Path_, LayerText] = Field(
        default={}, max_length=1, description="the norm behind the last block and its size; none where blocks end in it"
    )
    sizes: dict[Size, str] = Field(default={}, description="fields of its configuration whose names are not Llama's")
    defaults: dict[str, bool | int | str] = Field(
        default={}, description="values of fields that the configuration may leave out; a text is a size"
    )
    attention: dict[Path_, LayerText] = Field(min_length=1, description="linear layers of a block's attention")
    mlp: dict[Path_, LayerText] = Field(min_length=1, description="linear layers of a block's feed-forward network")
    norms: dict[Path_, LayerText] = Field(default={}, description="norms of a block and their sizes")
    stem: dict[Path_, LayerText] = Field(
        default={}, description="weights before the blocks beside the input embedding; they count as embeddings"
    )
    first_lacks: tuple[Path_, ...] = Field(default=(), description="norms of a block that the first block has not")
    unused: tuple[Path_, ...] = Field(
        default=(), description="modules that an embedding does not pass; never trained nor counted"
    )
    causal: bool = Field(default=True, description="whether a token sees only those before it, unless told otherwise")
    other_attention: dict[str, bool] = Field(
        default={},
        description="fields of the configuration that turn attention into the other kind; for a causal model is_causal",
    )

    @model_validator(mode="after")
    def _layers_have_two_sides(self) -> Self:
        for part in get_args(Part):
            for name, text in getattr(self, part).items():
                if len(parse_layer(text).sides) != 2:
                    raise ValueError(f"{part}.{name}: must be inputs x outputs, got {text!r}")
        if unknown := [name for name in self.first_lacks if name not in self.norms]:
            raise ValueError(f"first_lacks: must name norms of a block, got {unknown[0]!r}")
        return self

    def __hash__(self) -> int:  # pydantic's own would hash the mappings, which have none
        return hash((self.model_type, self.blocks))

    @property
    def fields(self) -> dict[Size, str]:
        """The field of the configuration that holds each size."""
        return {**LLAMA_FIELDS, **self.sizes}

    @property
    def attention_switch(self) -> dict[str, bool]:
        """Fields of the configuration that turn attention into the other kind; none where nothing does."""
        return self.other_attention or ({"is_causal": False} if self.causal else {})

    @property
    def settings(self) -> tuple[str, ...]:
        """Fields of the configuration, beside the sizes, that its layers or the direction of attention depend on."""
        groups = (self.attention, self.mlp, self.norms, self.final_norm, self.stem)
        layers = [parse_layer(text) for group in groups for text in group.values()]
        named = {name for layer in layers for name in layer.names} - {*get_args(Size), *_COMPUTED}
        asked = {condition.field for layer in layers for condition in (layer.bias, layer.exists)}
        turning = set(self.attention_switch)
        return tuple(sorted(named | turning | {field for field in asked if field is not None}))
