"""The recipe and the runs as HTML tables."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from embudget.laws import Laws
from embudget.recipe import Choice, CurvePoint, Recipe
from embudget.records import RunRecord, after_warmup, differing
from embudget.report.agreement import law_loss
from embudget.report.formats import MISSING, html, number, plural
from embudget.yardstick import loss_text


class Value(NamedTuple):
    """A number in a table that is not written as `number` would."""

    text: str
    key: float
    """To sort by."""


Entry = str | float | Value | None
"""What a table shows in one place; None is a measurement that was not made."""


def recipe_table(recipe: Recipe) -> str:
    """What to train and how."""
    (low, high), (least, most) = recipe.predicted_interval, recipe.loss_interval
    rows = {
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
    body = "".join(f'<tr><th scope="row">{name}</th><td>{html(text)}</td></tr>' for name, text in rows.items())
    return f'<table class="recipe"><tbody>{body}</tbody></table>'


def runners_up_table(recipe: Recipe) -> str:
    """The choices that the study cannot tell from the recipe."""
    rows: list[list[Entry]] = [
        [one.model, one.method, one.model_params, one.tokens, one.steps, _fixed(recipe.beside(one)), _interval(one)]
        for one in recipe.flat
    ]
    return _table(["model", "method", "N", "tokens", "steps", "predicted, nats", "interval"], rows)


def curve_table(points: Iterable[CurvePoint]) -> str:
    """The recipes along budgets; those without one are left out. Short headings, so that it fits into 1100 pixels."""
    headers = [
        "FLOP", "model", "method", "N", "tokens", "steps", "batch", "rate", "nats", "interval", "outside", "as good",
    ]  # fmt: skip
    rows: list[list[Entry]] = [
        [
            point.budget, one.model, one.method, one.model_params, one.tokens, one.steps, one.batch_size,
            one.learning_rate, _fixed(one.predicted_loss), _interval(one), one.extrapolation, len(one.flat),
        ]
        for point in points if (one := point.recipe) is not None
    ]  # fmt: skip
    return _table(headers, rows)


def rejected_table(recipe: Recipe) -> str:
    """The choices that were not taken, with the reason."""
    rows = [[no.model or "every model", no.method, no.reason] for no in recipe.rejected]
    return _table(["model", "method", "why not"], rows)


def failed_table(failed: Iterable[RunRecord]) -> str:
    """The runs that failed, diverged or gained nothing, with the reason."""
    rows: list[list[Entry]] = []
    for record in failed:
        config = record.config
        kind = "" if record.status == "failed" else f"{record.status.replace('_', ' ')}: "
        why = kind + (record.error or "no reason recorded")
        seed, attempts = str(config.seed), str(record.attempts)
        rows.append([config.model, config.method, config.train_flops, seed, attempts, why])
    return _table(["model", "method", "budget, FLOP", "seed", "attempts", "reason"], rows)


def runs_table(records: Iterable[RunRecord], laws: Laws) -> str:
    """Every run, done or not, by method, budget and size."""
    ordered = sorted(
        records, key=lambda r: (r.config.method, r.config.train_flops, r.model_params or 0, r.config.model)
    )
    also = [name for name in differing(record.config for record in ordered) if name != "batch_size"]
    headers = [
        "model", "method", "budget, FLOP", "N", "tokens", "steps", "batch", "rate", "seed", *also, "loss, nats",
        "chance", "law, nats", "accuracy", "seconds", "status", "id",
    ]  # fmt: skip
    failed = [record.status != "done" for record in ordered]
    return _table(headers, [_run_row(record, laws, also) for record in ordered], failed=failed, sortable=True)


def _run_row(record: RunRecord, laws: Laws, also: Sequence[str]) -> list[Entry]:
    config = record.config
    loss = None if record.loss is None else Value(loss_text(record.loss, record.groups), record.loss)
    return [
        config.model, config.method, config.train_flops, record.model_params, record.tokens, record.steps,
        config.batch_size, config.learning_rate, Value(str(config.seed), config.seed),
        *(_as_entry(getattr(config, name)) for name in also), loss,
        None if record.loss is None else _fixed(record.by_chance), _fixed(law_loss(laws, record)),
        _fixed(record.accuracy), _fixed(record.seconds, ",.0f"), record.status, record.id,
    ]  # fmt: skip


def _as_entry(value: str | int) -> Entry:
    return value if isinstance(value, str) else Value(str(value), value)


def _fixed(value: float | None, form: str = ".3f") -> Value | None:
    return None if value is None else Value(f"{value:{form}}", value)


def _interval(choice: Choice | Recipe) -> str:
    return "{:.3f} to {:.3f}".format(*choice.predicted_interval)


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[Entry]], *, failed: Sequence[bool] = (), sortable: bool = False
) -> str:
    names = [f'<button type="button">{html(text)}</button>' if sortable else html(text) for text in headers]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    starts = ['<tr class="failed">' if bad else "<tr>" for bad in failed or [False] * len(rows)]
    body = "".join(start + "".join(map(_entry, row)) + "</tr>" for start, row in zip(starts, rows, strict=True))
    kind = ' class="sortable"' if sortable else ""
    return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _entry(entry: Entry) -> str:
    if entry is None:
        return f'<td class="number">{MISSING}</td>'
    if isinstance(entry, str):
        kind = ' class="long"' if len(entry) > 40 else ""
        return f"<td{kind}>{html(entry)}</td>"
    text, key = entry if isinstance(entry, Value) else (number(entry), entry)
    return f'<td class="number" data-key="{key!r}">{html(text)}</td>'
