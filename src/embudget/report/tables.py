"""The recipe and the runs as HTML tables."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from embudget.laws import Laws
from embudget.recipe import CurvePoint, Recipe
from embudget.records import RunRecord, after_warmup
from embudget.report.agreement import law_loss
from embudget.report.formats import MISSING, html, number, plural


class Value(NamedTuple):
    """One cell of a table: what is shown, and the number to sort by where it is one."""

    text: str
    key: float | None = None


def recipe_table(recipe: Recipe) -> str:
    """What to train and how."""
    (low, high), (least, most) = recipe.predicted_interval, recipe.loss_interval
    rows = {
        "budget": f"{number(recipe.budget)} FLOP" + _served(recipe),
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
        "extrapolation": f"{number(recipe.extrapolation)} times" if recipe.extrapolation > 1 else "none",
        "crossovers": "; ".join(map(str, recipe.crossovers)) or "none",
    }
    body = "".join(f'<tr><th scope="row">{name}</th><td>{html(text)}</td></tr>' for name, text in rows.items())
    return f'<table class="recipe"><tbody>{body}</tbody></table>'


def _served(recipe: Recipe) -> str:
    return f", {number(recipe.serve_flops)} of them to serve the model" if recipe.serve_flops else ""


def runners_up_table(recipe: Recipe) -> str:
    """The choices that the study cannot tell from the recipe."""
    rows = [
        [
            Value(choice.model),
            Value(choice.method),
            _number(choice.model_params),
            _number(choice.tokens),
            _number(choice.steps),
            _loss(choice.predicted_loss),
            Value("{:.3f} to {:.3f}".format(*choice.predicted_interval)),
        ]
        for choice in recipe.flat
    ]
    return _table(["model", "method", "N", "tokens", "steps", "predicted, nats", "interval"], rows)


def curve_table(points: Iterable[CurvePoint]) -> str:
    """The recipes along budgets; those without one are left out. Short headings, so that it fits into 1100 pixels."""
    found = [(point.budget, point.recipe) for point in points if point.recipe is not None]
    rows = [
        [
            _number(budget),
            Value(recipe.model),
            Value(recipe.method),
            _number(recipe.model_params),
            _number(recipe.tokens),
            _number(recipe.steps),
            _number(recipe.batch_size),
            _number(recipe.learning_rate),
            _loss(recipe.predicted_loss),
            Value("{:.3f} to {:.3f}".format(*recipe.predicted_interval)),
            _number(recipe.extrapolation),
            _number(len(recipe.flat)),
        ]
        for budget, recipe in found
    ]
    headers = [
        "FLOP", "model", "method", "N", "tokens", "steps", "batch", "rate", "nats", "interval", "outside", "as good",
    ]  # fmt: skip
    return _table(headers, rows)


def rejected_table(recipe: Recipe) -> str:
    """The choices that were not taken, with the reason."""
    rows = [[Value(no.model or "every model"), Value(no.method), Value(no.reason)] for no in recipe.rejected]
    return _table(["model", "method", "why not"], rows)


def failed_table(failed: Iterable[RunRecord]) -> str:
    """The runs that failed, with the reason."""
    rows = [
        [
            Value(record.config.model),
            Value(record.config.method),
            _number(record.config.train_flops),
            Value(str(record.config.seed)),
            Value(str(record.attempts)),
            Value(("diverged: " if record.status == "diverged" else "") + (record.error or "no reason recorded")),
        ]
        for record in failed
    ]
    return _table(["model", "method", "budget, FLOP", "seed", "attempts", "reason"], rows)


def runs_table(records: Iterable[RunRecord], laws: Laws) -> str:
    """Every run, done or not, by method, budget and size."""
    ordered = sorted(
        records,
        key=lambda record: (
            record.config.method,
            record.config.train_flops,
            record.model_params or 0,
            record.config.model,
        ),
    )
    headers = [
        "model", "method", "budget, FLOP", "N", "tokens", "steps", "batch", "rate", "seed", "loss, nats",
        "law, nats", "accuracy", "seconds", "status", "id",
    ]  # fmt: skip
    failed = [record.status != "done" for record in ordered]
    return _table(headers, [_run_row(record, laws) for record in ordered], failed=failed, sortable=True)


def _run_row(record: RunRecord, laws: Laws) -> list[Value]:
    config = record.config
    return [
        Value(config.model),
        Value(config.method),
        _number(config.train_flops),
        _number(record.model_params),
        _number(record.tokens),
        _number(record.steps),
        _number(config.batch_size),
        _number(config.learning_rate),
        Value(str(config.seed), config.seed),
        _loss(record.loss),
        _loss(law_loss(laws, record)),
        _loss(record.accuracy),
        Value(MISSING) if record.seconds is None else Value(f"{record.seconds:,.0f}", record.seconds),
        Value(record.status),
        Value(record.id),
    ]


def _number(value: float | None) -> Value:
    return Value(MISSING) if value is None else Value(number(value), value)


def _loss(value: float | None) -> Value:
    return Value(MISSING) if value is None else Value(f"{value:.3f}", value)


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[Value]], *, failed: Sequence[bool] = (), sortable: bool = False
) -> str:
    head = "".join(f'<th scope="col">{_header(text, sortable)}</th>' for text in headers)
    starts = ['<tr class="failed">' if bad else "<tr>" for bad in failed or [False] * len(rows)]
    body = "".join(start + "".join(map(_cell, row)) + "</tr>" for start, row in zip(starts, rows, strict=True))
    kind = ' class="sortable"' if sortable else ""
    return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _header(text: str, sortable: bool) -> str:
    return f'<button type="button">{html(text)}</button>' if sortable else html(text)


def _cell(value: Value) -> str:
    if value.key is not None:
        return f'<td class="number" data-key="{value.key!r}">{html(value.text)}</td>'
    if value.text == MISSING:
        return f'<td class="number">{MISSING}</td>'
    kind = ' class="long"' if len(value.text) > 40 else ""
    return f"<td{kind}>{html(value.text)}</td>"
