"""Random questions to a recipe, and where the page's answer differs from that of `embudget.recommend`."""

import math
import random
from typing import Any

from embudget.errors import EmbudgetError
from embudget.flops import DEVICES
from embudget.laws import Laws
from embudget.memory import training_bytes
from embudget.methods import parse_method
from embudget.recipe import Recipe
from embudget.recipe.hyperparameters import Practice
from embudget.suite import find_shape

CLOSE = 1e-6
"""Relative difference of two numbers that count as equal."""
NUMBERS = (
    "predicted_loss", "rate_cost", "tokens", "train_flops", "serve_flops", "unspent_flops", "learning_rate",
    "extrapolation",
)  # fmt: skip
EQUAL = (
    "model", "method", "steps", "pairs", "batch_size", "batch_source", "rate_source", "chosen", "supported",
    "left_over", "lineage", "training_pairs",
)  # fmt: skip
Question = tuple[dict[str, Any], dict[str, Any]]
"""A budget and wishes, by the names of `recommend`."""


def question(rng: random.Random, laws: Laws) -> Question:
    """A budget in FLOP, hours or money near the measured ones or far from them, and up to three wishes."""
    low, high = (end(one.table.budgets) for one, end in ((laws, min), (laws, max)))
    flops = math.exp(rng.uniform(math.log(low / 30), math.log(high * 30)))
    if rng.random() < 0.2:
        flops = rng.choice(laws.table.budgets)
    if rng.random() < 0.05:
        flops *= 10 ** rng.uniform(-9, 9)
    device, mfu = rng.choice(sorted(DEVICES)), round(rng.uniform(0.05, 0.6), 3)
    per_hour = DEVICES[device].peak_flops * mfu * 3600
    given: dict[str, Any] = rng.choice(
        [
            {"budget": flops},
            {"budget": flops},
            {"gpu_hours": flops / per_hour, "device": device, "mfu": mfu},
            {"dollars": flops / per_hour * DEVICES[device].dollars_per_hour, "device": device, "mfu": mfu},
            {"dollars": flops / per_hour * 2.5, "device": device, "mfu": mfu, "dollars_per_hour": 2.5},
            {"hours": flops / 6e10 / 3600},
        ]
    )
    sizes = [cell.model_params for one in laws.every for cell in one.cells]
    wishes: dict[str, Any] = {
        "max_params": math.exp(rng.uniform(math.log(min(sizes) / 2), math.log(max(sizes) * 2))),
        "device_memory": rng.choice(["30MB", "100MB", "500MB", "2GB", "24GB", "80GiB"]),
        "pairs_available": round(math.exp(rng.uniform(math.log(8), math.log(1e6)))),
        "max_epochs": rng.randint(1, 40),
        "serve_tokens": math.exp(rng.uniform(math.log(1e3), math.log(1e9))),
        "prefer": rng.choice(["loss", "small", "fast"]),
        "min_steps": rng.randint(1, 2000),
        "allow_unmeasured_sizes": True,
        "force": True,
    }
    return given, {name: wishes[name] for name in rng.sample(sorted(wishes), rng.choice([0, 1, 1, 2, 3]))}


def compared(laws: Laws, asked: Question, expected: Recipe | EmbudgetError, found: dict[str, Any]) -> list[str]:
    """What differs between the answers of Python and of the page, in words."""
    if isinstance(expected, EmbudgetError) or "refusal" in found:
        refusal = None if isinstance(expected, Recipe) else str(expected).splitlines()[0]
        kind = type(expected).__name__
        same = found.get("refusal") == refusal and found.get("kind") == kind
        became = f"{found.get('kind')} {found.get('refusal', found.get('model'))!r}"
        return [] if same else [f"{kind} {refusal!r} became {became}"]
    pairs = [(name, getattr(expected, name), found.get(name)) for name in NUMBERS]
    pairs += [("memory", _memory(laws, expected), found["memory"]), ("seconds", expected.seconds, found["seconds"])]
    pairs += [
        (f"{name} {end}", getattr(expected, name)[end], found[name][end])
        for name in ("predicted_interval", "loss_interval")
        for end in (0, 1)
    ]
    pairs += [
        (f"flat {place}", one.predicted_loss, other["predicted_loss"])
        for place, (one, other) in enumerate(zip(expected.flat, found["flat"], strict=False))
    ]
    if expected.untrained is not None:
        pays, on_page = expected.untrained, found["pays"]
        pairs += [("pays from", pays.pays_from, on_page["budget"]), ("searched", pays.searched, on_page["searched"])]
        pairs += [("share", pays.share, on_page["share"]), ("per hour", pays.flops_per_hour, on_page["perHour"])]
        ends = zip(pays.interval or (None, None), on_page["interval"] or (None, None), strict=True)
        pairs += [("pays", one, other) for one, other in ends]
    off = [f"{name} {one} became {other}" for name, one, other in pairs if not _close(one, other)]
    equal = [(name, getattr(expected, name), found.get(name)) for name in EQUAL]
    equal += [
        (
            "flat",
            [(one.model, one.method) for one in expected.flat],
            [(one["model"], one["method"]) for one in found["flat"]],
        ),
        (
            "rejected",
            [(one.model, one.method, one.reason) for one in expected.rejected],
            [(one["model"], one["method"], one["reason"]) for one in found["rejected"]],
        ),
        ("warnings", list(expected.warnings), found["warnings"]),
        (
            "untrained",
            None if expected.untrained is None else (expected.untrained.model, expected.untrained.loss),
            None if found["untrained"] is None else (found["untrained"]["model"], found["untrained"]["loss"]),
        ),
        ("starts", [(one.lineage, one.model, one.method) for one in expected.starts],
         [(one["lineage"], one["model"], one["method"]) for one in found.get("starts", ())]),
    ]  # fmt: skip
    return off + [f"{name} {_difference(one, other)}" for name, one, other in equal if one != other]


def _difference(one: Any, other: Any) -> str:  # noqa: ANN401 - whatever is compared
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(f"{a!r} became {b!r}" for a, b in zip(one, other, strict=True) if a != b)
    return f"{one!r} became {other!r}"


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-300)


def _memory(laws: Laws, recipe: Recipe) -> float:
    """Bytes of training the recipe, by the estimate that options are judged by."""
    practice = Practice.of(laws.of(recipe.lineage) if laws.others else laws)
    method, shape = parse_method(recipe.method), find_shape(recipe.model)
    return training_bytes(method, shape, recipe.batch_size, practice.max_length, negatives=practice.negatives)
