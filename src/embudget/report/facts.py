"""What the study is and what it answers, in facts and one sentence."""

from collections import Counter
from collections.abc import Iterable, Sequence

from embudget.duration import duration
from embudget.laws import Laws
from embudget.recipe import Recipe
from embudget.records import RunRecord
from embudget.report.formats import MISSING, html, methods_in_order, number, plural
from embudget.yardstick import loss_error, loss_text


def facts_list(records: Sequence[RunRecord], laws: Laws) -> str:
    """The study as a definition list: what was run, what it cost, where it ran and with which versions."""
    ended = Counter(record.status for record in records)
    diverged = f"{ended['diverged']:,} diverged, " if ended["diverged"] else ""
    no_gain = f"{ended['no_gain']:,} no better than chance, " if ended["no_gain"] else ""
    flops = sum(record.train_flops * record.own_share for record in records if record.train_flops is not None)
    seconds = sum(record.seconds * record.own_share for record in records if record.seconds is not None)
    budgets = sorted({record.config.train_flops for record in records})
    facts = {
        "Members": _listed(_by_size(records)),
        "Methods": _listed(methods_in_order({record.config.method for record in records})),
        "Budgets": _listed([number(budget) for budget in budgets]) + " FLOP",
        "Runs": f"{ended['done']:,} done, {no_gain}{diverged}{ended['failed']:,} failed",
        "Spent": f"{number(flops)} FLOP" + (f" in {duration(seconds)} of training" if seconds else ""),
        "Held-out loss": _held_out(laws) + _errors(records),
        "Pairs": _listed(sorted({record.config.pairs for record in records})),
        **_provenance(records),
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{_unbroken(text)}</dd></div>" for name, text in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _held_out(laws: Laws) -> str:
    table = laws.table
    if table.eval_pairs is None or table.eval_candidates is None:
        return MISSING
    return f"{table.eval_pairs:,} pairs, {table.eval_candidates:,} candidates each"


def _errors(records: Iterable[RunRecord]) -> str:
    """The standard errors of the losses by held-out groups, where they are known."""
    errors = sorted(loss_error(record.groups) for record in records if len(record.groups) > 1)
    if not errors:
        return ""
    ends = dict.fromkeys(f"{end:.3f}" for end in (errors[0], errors[-1]))
    return f", standard error {' to '.join(ends)} nats by groups"


def _unbroken(text: str) -> str:
    """As HTML, with line breaks only after commas."""
    return ", ".join(f"<span>{html(part)}</span>" for part in text.split(", "))


def _by_size(records: Iterable[RunRecord]) -> list[str]:
    """The members, the smallest first; those whose size no run measured come last."""
    sizes: dict[str, float] = {}
    for record in records:
        size = float("inf") if record.model_params is None else float(record.model_params)
        sizes[record.config.model] = min(size, sizes.get(record.config.model, size))
    return sorted(sizes, key=lambda model: (sizes[model], model))


def _provenance(records: Iterable[RunRecord]) -> dict[str, str]:
    known = [record.provenance for record in records if record.provenance is not None]
    if not known:
        return {}
    days = sorted({origin.started[:10] for origin in known})
    versions = {f"{name} {version}" for origin in known for name, version in origin.versions.items()}
    commits = sorted({origin.commit[:10] for origin in known if origin.commit})
    return {
        "Device": _listed(sorted({f"{p.device}, {plural(p.threads, 'thread')}" for p in known})),
        "Dates": days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
        "Versions": _listed(sorted(versions, key=str.lower)),
        **({"Commit": _listed(commits)} if commits else {}),
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
