"""What a user may ask of a recipe besides the budget: constraints, and what to prefer where losses are as good."""

from math import isfinite
from typing import Literal, NamedTuple, TypedDict, get_args

from embudget.errors import ConfigError
from embudget.memory import parse_bytes

Prefer = Literal["loss", "small", "fast"]
"""What decides between choices that are predicted as good."""


class Wishes(TypedDict, total=False):
    """Keyword arguments of `recommend` and `recipe_curve`; an absent one, or None, is no wish.

    max_params: the most parameters of the model, without embeddings and adapters.
    pairs_available: training pairs there are; choices that need more, in all epochs together, are rejected.
    max_epochs: passes over the pairs that are allowed; by default as many as in the nearest measured run.
    device_memory: of the device that trains, as ``24GB``, ``80GiB`` or in bytes; choices that are estimated to need
        more than 90 % of it with gradient caching are rejected.
    serve_tokens: tokens that the model will embed once it is trained. Each costs 2N FLOP, adapters being merged, which
        the budget pays beside the training.
    prefer: ``loss`` (default), or among the choices that are predicted as good ``small`` (fewest parameters) or
        ``fast`` (least time by the measured speed of the nearest runs; fewest tokens where runs were not timed).
    min_steps: choices with fewer optimiser steps are rejected; by default the fewest of a fitted cell.
    allow_unmeasured_sizes: consider sizes far from the measured ones too.
    force: answer for budgets more than a million times outside the measured ones.
    """

    max_params: float | None
    pairs_available: int | None
    max_epochs: int | None
    device_memory: str | float | None
    serve_tokens: float | None
    prefer: Prefer | None
    min_steps: int | None
    allow_unmeasured_sizes: bool
    force: bool


class Limits(NamedTuple):
    """The wishes, checked."""

    max_params: float | None
    pairs_available: int | None
    max_epochs: int | None
    device_bytes: float | None
    serve_tokens: float
    prefer: Prefer
    min_steps: int
    any_size: bool
    force: bool


def limits_of(wishes: Wishes, fewest_steps: int) -> Limits:
    """Check the wishes and fill in what was not wished for; ``fewest_steps`` where no fewest is.

    Raises:
        TypeError: there is no such wish.
        ConfigError: a value breaks its rule.
    """
    if unknown := sorted(set(wishes) - set(Wishes.__annotations__)):
        raise TypeError(f"unknown keyword argument {unknown[0]!r}; known are {', '.join(Wishes.__annotations__)}")
    for name in ("max_params", "pairs_available", "max_epochs", "min_steps"):
        if (count := wishes.get(name)) is not None and not count >= 1:  # type: ignore[operator]
            raise ConfigError(f"{name} must be >= 1, got {count}")
    serve_tokens = wishes.get("serve_tokens")
    if serve_tokens is not None and not (isfinite(serve_tokens) and serve_tokens > 0):
        raise ConfigError(f"serve_tokens must be finite and > 0, got {serve_tokens:g}")
    prefer = wishes.get("prefer") or "loss"
    if prefer not in get_args(Prefer):
        raise ConfigError(f"prefer must be one of {', '.join(get_args(Prefer))}, got {prefer!r}")
    memory, min_steps = wishes.get("device_memory"), wishes.get("min_steps")
    return Limits(
        max_params=wishes.get("max_params"),
        pairs_available=wishes.get("pairs_available"),
        max_epochs=wishes.get("max_epochs"),
        device_bytes=None if memory is None else parse_bytes(memory),
        serve_tokens=serve_tokens or 0.0,
        prefer=prefer,
        min_steps=fewest_steps if min_steps is None else min_steps,
        any_size=wishes.get("allow_unmeasured_sizes", False),
        force=wishes.get("force", False),
    )
