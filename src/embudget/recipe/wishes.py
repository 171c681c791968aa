"""What a user may ask of a recipe besides the budget: constraints, and what to prefer among choices that tie."""

from typing import Literal, NamedTuple, TypedDict, cast, get_args

from embudget.errors import ConfigError
from embudget.limits import MOST_COUNT, MOST_EPOCHS, MOST_FLOPS
from embudget.memory import parse_bytes
from embudget.number import read_number

Prefer = Literal["loss", "small", "fast"]
"""What decides between choices that the laws cannot tell apart."""


class Wishes(TypedDict, total=False):
    """Keyword arguments of `recommend`, `recipe_curve` and `crossovers`. A wish that is absent or None is not made.

    max_params: the most parameters that the model may have, without embeddings and adapters.
    pairs_available: training pairs that you have. A choice stops where they were all seen ``max_epochs`` times.
    max_epochs: passes over the pairs that you allow. By default there are as many as help, or with ``pairs_available``
        as in the nearest measured run.
    device_memory: memory of the device that trains, as ``24GB``, ``80GiB`` or in bytes. A choice that is estimated to
        need more than 90 % of it with gradient caching is rejected.
    serve_tokens: tokens that the model will embed once it is trained. Each costs 2N FLOP (adapters are merged), and the
        budget pays for them beside the training.
    prefer: ``loss`` (the default) takes the lowest predicted loss. Among the choices that tie with it, ``small`` takes
        the one with the fewest parameters and ``fast`` the one that trains in the least time at the measured speed of
        the nearest runs, or with the fewest tokens if not all runs were timed.
    min_steps: choices with fewer optimiser steps are rejected; by default the fewest steps of a fitted cell. Below
        the smallest measured budget they are as many fewer as the budget is smaller, but no fewer than 10.
    allow_unmeasured_sizes: consider sizes far from the measured ones too.
    force: answer with a recipe even where the measured runs do not support one: over 16 times outside their budgets, or
        for a family of which no member was measured.
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
    min_steps: int | None
    """None: by the measured runs, see `embudget.recipe.hyperparameters.Practice.least_steps`."""
    any_size: bool
    force: bool


def limits_of(wishes: Wishes) -> Limits:
    """Check the wishes and fill in the defaults, except for that of ``min_steps``, which depends on the budget.

    Raises:
        TypeError: there is no such wish.
        ConfigError: a value breaks its rule.
    """
    if unknown := sorted(set(wishes) - set(Wishes.__annotations__)):
        raise TypeError(f"unknown keyword argument {unknown[0]!r}; known are {', '.join(Wishes.__annotations__)}")
    for name in ("max_params", "pairs_available", "max_epochs", "min_steps"):
        if (count := wishes.get(name)) is not None:
            most = MOST_EPOCHS if name == "max_epochs" else MOST_COUNT
            read_number(cast("float", count), name, least=1, most=most)
    if (serve_tokens := wishes.get("serve_tokens")) is not None:
        read_number(serve_tokens, "serve_tokens", above=0, most=MOST_FLOPS)
    prefer = wishes.get("prefer") or "loss"
    if prefer not in get_args(Prefer):
        raise ConfigError(f"prefer must be one of {', '.join(get_args(Prefer))}, got {prefer!r}")
    memory = wishes.get("device_memory")
    return Limits(
        max_params=wishes.get("max_params"),
        pairs_available=wishes.get("pairs_available"),
        max_epochs=wishes.get("max_epochs"),
        device_bytes=None if memory is None else parse_bytes(memory),
        serve_tokens=serve_tokens or 0.0,
        prefer=prefer,
        min_steps=wishes.get("min_steps"),
        any_size=wishes.get("allow_unmeasured_sizes", False),
        force=wishes.get("force", False),
    )
