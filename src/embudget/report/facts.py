"""What the study is and what it answers, in facts and one sentence."""

from collections.abc import Sequence

from embudget.duration import duration
from embudget.laws import Laws
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.formats import MISSING, html, methods_in_order, number, plural
from embudget.report.shown import Counted
from embudget.yardstick import loss_text


def facts_list(runs: Counted, laws: Laws) -> str:
    """The study as a definition list: what was run, what it cost, where it ran and with which versions."""
    ended = runs.ended
    diverged = f"{ended['diverged']:,} diverged, " if ended["diverged"] else ""
    no_gain = f"{ended['no_gain']:,} no better than chance, " if ended["no_gain"] else ""
    flops, seconds = runs.train_flops, runs.seconds
    facts = {
        "Members": _listed(sorted(runs.sizes, key=lambda model: (runs.sizes[model], model))),
        "Methods": _listed(methods_in_order(runs.methods)),
        "Budgets": _listed([number(budget) for budget in sorted(runs.budgets)]) + " FLOP",
        "Runs": f"{ended['done']:,} done, {no_gain}{diverged}{ended['failed']:,} failed",
        "Spent": f"{number(flops)} FLOP" + (f" in {duration(seconds)} of training" if seconds else ""),
        "Held-out loss": _held_out(laws) + _errors(runs),
        "Pairs": _listed(sorted(runs.pairs)),
        **_provenance(runs),
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{_unbroken(text)}</dd></div>" for name, text in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _held_out(laws: Laws) -> str:
    table = laws.table
    if table.eval_pairs is None or table.eval_candidates is None:
        return MISSING
    return f"{table.eval_pairs:,} pairs, {table.eval_candidates:,} candidates each"


def _errors(runs: Counted) -> str:
    """The standard errors of the losses by held-out groups, where they are known."""
    if runs.errors is None:
        return ""
    ends = dict.fromkeys(f"{end:.3f}" for end in runs.errors)
    return f", standard error {' to '.join(ends)} nats by groups"


def _unbroken(text: str) -> str:
    """As HTML, with line breaks only after commas."""
    return ", ".join(f"<span>{html(part)}</span>" for part in text.split(", "))


def _provenance(runs: Counted) -> dict[str, str]:
    if not runs.days:
        return {}
    days = min(runs.days), max(runs.days)
    return {
        "Device": _listed(sorted(f"{device}, {plural(threads, 'thread')}" for device, threads in runs.devices)),
        "Dates": days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}",
        "Versions": _listed(sorted(runs.versions, key=str.lower)),
        **({"Commit": _listed(sorted(runs.commits))} if runs.commits else {}),
    }


def _listed(texts: Sequence[str], most: int = 16) -> str:
    left = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {left} more" if left > 0 else "") if texts else MISSING


def answer_of(recipe: Recipe, measured: RunRecord | None) -> str:
    """The recipe in a sentence, and what its run came to, where that is known, in another; as HTML."""
    low, high = recipe.predicted_interval
    instead = "" if recipe.untrained is None else f"Use {html(str(recipe.untrained))}. The best trained choice: "
    beyond = f", {number(recipe.extrapolation)} times outside the measured budgets" if recipe.extrapolation > 1 else ""
    first = (
        f"{instead}With <b>{number(recipe.train_flops)} FLOP</b>{beyond}, train <b>{html(recipe.model)}</b> by "
        f"<b>{html(recipe.method)}</b> on {plural(recipe.pairs, 'pair')} ({number(recipe.tokens)} tokens, "
        f"{plural(recipe.steps, 'step')} of {recipe.batch_size}, learning rate {number(recipe.learning_rate)}): "
        f"predicted held-out loss <b>{recipe.predicted_loss:.3f} nats</b> "
        f"({low:.3f} to {high:.3f} with {100 * recipe.level:.0f} %)."
    )
    sentences = (first if measured is None else f"{first} {_outcome(recipe, measured)}").replace(" %", "&nbsp;%")
    return f'<p class="answer">{sentences}</p>'


def _outcome(recipe: Recipe, measured: RunRecord) -> str:
    if measured.loss is None:  # it failed or diverged
        return f"Its run {measured.status}: {html(measured.error or 'no reason recorded')}."
    if (recipe.yardstick or "first") != measured.config.yardstick:
        return f"Measured: <b>{measured.loss:.3f} nats</b>, on other held-out pairs than those of the prediction."
    low, high = recipe.predicted_interval
    verdict = "inside" if low <= measured.loss <= high else "outside"
    off = 100 * (measured.loss / recipe.predicted_loss - 1)
    loss = loss_text(measured.loss, measured.groups)
    return f"Measured: <b>{loss} nats</b>, off by {off:+.1f} %, {verdict} the interval."
