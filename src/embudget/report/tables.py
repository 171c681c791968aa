"""The recipe and what stands beside it, as the rows of tables; templates/parts.html makes HTML of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from embudget.plural import plural
from embudget.recipe import Choice, CurvePoint, Recipe
from embudget.records import after_warmup
from embudget.report.formats import fixed, number


class Listed(NamedTuple):
    """A table: its headings, and rows of as many texts."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def recipe_rows(recipe: Recipe) -> dict[str, str]:
    """What to train and how, by name."""
    (low, high), (least, most) = recipe.predicted_interval, recipe.loss_interval
    return {
        "budget": f"{number(recipe.budget)} FLOP"
        + (f", {number(recipe.serve_flops)} of them to serve the model" if recipe.serve_flops else ""),
        "model": f"{recipe.model}, N = {number(recipe.model_params)}",
        "method": recipe.method,
        "data": f"{plural(recipe.pairs, 'pair')}, {number(recipe.tokens)} tokens, "
        f"{plural(recipe.max_epochs, 'epoch')} at most",
        "steps": f"{recipe.steps:,} of {recipe.batch_size} pairs",
        "learning rate": f"{number(recipe.learning_rate)}, warm-up {100 * recipe.warmup:g} %, then "
        + after_warmup(recipe.schedule, recipe.decay)
        + (f"; {recipe.rate_source}" if recipe.rate_source else ""),
        "weight decay": number(recipe.weight_decay),
        "loss": f"scale {recipe.scale:g}, {recipe.pooling} pooling, texts cut at {recipe.max_length} tokens",
        "predicted": f"{recipe.predicted_loss:.3f} nats, {low:.3f} to {high:.3f} with {100 * recipe.level:.0f} %; "
        f"without a run's noise {least:.3f} to {most:.3f}",
        **({} if recipe.untrained is None else {"instead": str(recipe.untrained)}),
        "extrapolation": f"{number(recipe.extrapolation)} times" if recipe.extrapolation > 1 else "none",
        "crossovers": "; ".join(map(str, recipe.crossovers)) or "none",
    }


def runners_up(recipe: Recipe) -> Listed:
    """The choices that the study cannot tell from the recipe."""
    rows = [
        [
            one.model, one.method, number(one.model_params), number(one.tokens), number(one.steps),
            fixed(recipe.beside(one)), _interval(one),
        ]
        for one in recipe.flat
    ]  # fmt: skip
    return Listed(["model", "method", "N", "tokens", "steps", "predicted, nats", "interval"], rows)


def curve_listed(points: Iterable[CurvePoint]) -> Listed:
    """The recipes along budgets; those without one are left out. Short headings, so that it fits into 1100 pixels."""
    heads = [
        "FLOP", "model", "method", "N", "tokens", "steps", "batch", "rate", "nats", "interval", "outside", "as good",
    ]  # fmt: skip
    rows = [
        [
            number(point.budget), one.model, one.method, number(one.model_params), number(one.tokens),
            number(one.steps), number(one.batch_size), number(one.learning_rate), fixed(one.predicted_loss),
            _interval(one), number(one.extrapolation), number(len(one.flat)),
        ]
        for point in points if (one := point.recipe) is not None
    ]  # fmt: skip
    return Listed(heads, rows)


def rejected(recipe: Recipe) -> Listed:
    """The choices that were not taken, with the reason."""
    rows = [[no.model or "every model", no.method, no.reason] for no in recipe.rejected]
    return Listed(["model", "method", "why not"], rows)


def _interval(choice: Choice | Recipe) -> str:
    return "{:.3f} to {:.3f}".format(*choice.predicted_interval)
