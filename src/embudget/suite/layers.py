"""What does a description of an architecture come to at the sizes of one model? Its weights, by name and number."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from embudget.limits import MOST_COUNT
from embudget.suite.architecture import Architecture, Layer, Part, Setting, parse_layer


class Linear(NamedTuple):
    """A linear layer of a block."""

    name: str
    """Its path within the block, such as self_attn.q_proj."""
    inputs: int
    outputs: int
    bias: bool
    part: Part

    @property
    def params(self) -> int:
        """Its parameters, the bias included."""
        return self.inputs * self.outputs + self.bias_params

    @property
    def bias_params(self) -> int:
        """Its bias terms."""
        return self.outputs if self.bias else 0


class Norm(NamedTuple):
    """A norm, or another weight that is no linear layer of a block, such as a table of positions."""

    name: str
    """Its path within the block or, outside of one, within the model."""
    weights: int
    bias: bool

    @property
    def params(self) -> int:
        """Its parameters, the bias included."""
        return self.weights + self.bias_params

    @property
    def bias_params(self) -> int:
        """Its bias terms."""
        return self.weights if self.bias else 0


class Weights(NamedTuple):
    """The weights of a model: those of one block, and those before and after the blocks."""

    linears: tuple[Linear, ...]
    norms: tuple[Norm, ...]
    final_norm: tuple[Norm, ...]
    stem: tuple[Norm, ...]


@lru_cache(maxsize=1024)
def described_weights(
    description: Architecture, sizes: tuple[tuple[str, int], ...], settings: tuple[tuple[str, Setting], ...]
) -> Weights:
    """The weights of a model.

    Args:
        description: what it is made of.
        sizes: its sizes by the names of `embudget.suite.architecture.Size`.
        settings: fields of its configuration that differ from the description's defaults.

    Raises:
        ValueError: a size that the description names is not known.
    """
    known = {**description.defaults, **dict(settings), **dict(sizes)}
    known |= {"q": known["heads"] * known["head_dim"], "kv": known["kv_heads"] * known["head_dim"]}  # type: ignore[operator]
    return Weights(
        (*_linears(description, "attention", known), *_linears(description, "mlp", known)),
        _norms(description.norms, known),
        _norms(description.final_norm, known),
        _norms(description.stem, known),
    )


def _linears(description: Architecture, part: Part, known: Mapping[str, object]) -> list[Linear]:
    texts: dict[str, str] = getattr(description, part)
    found = []
    for name, layer in _existing(texts, known):
        inputs, outputs = _sides(name, layer, known)
        found.append(Linear(name, inputs, outputs, layer.bias.holds(known), part))
    return found


def _norms(texts: Mapping[str, str], known: Mapping[str, object]) -> tuple[Norm, ...]:
    return tuple(
        Norm(name, math.prod(_sides(name, layer, known)), layer.bias.holds(known))
        for name, layer in _existing(texts, known)
    )


def _existing(texts: Mapping[str, str], known: Mapping[str, object]) -> list[tuple[str, Layer]]:
    layers = [(name, parse_layer(text)) for name, text in texts.items()]
    return [(name, layer) for name, layer in layers if layer.exists.holds(known)]


def _sides(name: str, layer: Layer, known: Mapping[str, object]) -> tuple[int, ...]:
    for factor in layer.names:
        if not isinstance(known.get(factor), int):
            raise ValueError(f"{name} needs {factor}, a whole number, got {known.get(factor)!r}")
    sides = layer.evaluate(known)
    if min(sides) < 1 or math.prod(sides) > MOST_COUNT:
        shown = " x ".join(str(side) if abs(side) <= MOST_COUNT else "..." for side in sides)
        raise ValueError(f"{name} must have from 1 to {MOST_COUNT:.0e} numbers, got {shown}")
    return sides
