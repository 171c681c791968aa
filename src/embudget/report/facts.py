"""What the study is, in facts, and what a recipe says and its run came to, in two sentences."""

from collections.abc import Sequence

from embudget.choices import methods_in_order
from embudget.duration import duration
from embudget.laws import Laws
from embudget.plural import plural
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.formats import MISSING, number
from embudget.report.rendering import rendered
from embudget.report.shown import Counted
from embudget.yardstick import loss_text


def study_facts(runs: Counted, laws: Laws) -> dict[str, str]:
    """Name -> text of what was run, what it cost, where it ran and with which versions."""
    flops, seconds = runs.train_flops, runs.seconds
    return {
        "Members": _listed(sorted(runs.sizes, key=lambda model: (runs.sizes[model], model))),
        "Methods": _listed(methods_in_order(runs.methods)),
        "Budgets": _listed([number(budget) for budget in sorted(runs.budgets)]) + " FLOP",
        "Runs": ended_text(runs),
        "Spent": f"{number(flops)} FLOP" + (f" in {duration(seconds)} of training" if seconds else ""),
        "Held-out loss": _held_out(laws) + _errors(runs),
        "Pairs": _listed(sorted(runs.pairs)),
        **_provenance(runs),
    }


def ended_text(runs: Counted) -> str:
    """How the runs ended, as "27 done, 1 diverged, 0 failed"."""
    ended = runs.ended
    diverged = f"{ended['diverged']:,} diverged, " if ended["diverged"] else ""
    no_gain = f"{ended['no_gain']:,} no better than chance, " if ended["no_gain"] else ""
    return f"{ended['done']:,} done, {no_gain}{diverged}{ended['failed']:,} failed"


def study_sentence(runs: Counted) -> str:
    """The study in one line, under the page's heading."""
    low, high = min(runs.budgets, default=0.0), max(runs.budgets, default=0.0)
    span = f"{number(low)} FLOP" if low == high else f"{number(low)} to {number(high)} FLOP"
    members, methods = plural(len(runs.sizes), "member"), plural(len(runs.methods), "method")
    return f"{plural(len(runs.ids), 'run')} of {members} by {methods}, at {span} each: {ended_text(runs)}."


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
    return rendered(
        "recipe_sentence.html", recipe=recipe, outcome=None if measured is None else outcome(recipe, measured)
    )


def outcome(recipe: Recipe, measured: RunRecord) -> str:
    """What the recipe's run came to, beside what was predicted."""
    if measured.loss is None:  # it failed or diverged
        return f"Its run {measured.status}: {measured.error or 'no reason recorded'}."
    if (recipe.yardstick or "first") != measured.config.yardstick:
        return f"Measured: {measured.loss:.3f} nats, on other held-out pairs than those of the prediction."
    low, high = recipe.predicted_interval
    verdict = "inside" if low <= measured.loss <= high else "outside"
    off = 100 * (measured.loss / recipe.predicted_loss - 1)
    return f"Measured: {loss_text(measured.loss, measured.groups)} nats, off by {off:+.1f} %, {verdict} the interval."
