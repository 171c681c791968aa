"""How a recipe reads in the terminal, a line for each thing decided."""

from collections.abc import Iterable, Iterator

from embudget.flops import attention_share, say_attention
from embudget.methods import parse_method
from embudget.recipe.values import RecipeValues
from embudget.suite import known_shape

_TOLD_COST = 5e-4
"""Cost of an uncertain rate from which on it is told: what rounds to 0.1 %."""


def recipe_text(recipe: RecipeValues) -> str:
    """A recipe in a few lines: what is doubted first, then what to train, how, what to expect, and the alternatives."""
    (low, high), (least, most) = recipe.predicted_interval, recipe.loss_interval
    pairs = f"the pairs {recipe.measured_on}" if recipe.measured_on else "pairs that the table of runs does not name"
    others = "on others, the loss will differ"
    if recipe.measured_on and recipe.yardstick != "groups":  # from before they were drawn evenly over groups
        pairs += f", the first {recipe.eval_pairs} of validation"
        others = "runs are now measured on others, and the loss will differ"
    first = 0 if recipe.supported else 1
    lines = [
        *(f"warning: {warning}" for warning in recipe.warnings[:first]),
        *([] if recipe.untrained is None else [f"use {recipe.untrained}", "the best trained choice:"]),
        _spent(recipe),
        f"  train     {recipe.model} by {recipe.method}",
        *([f"  chosen    {recipe.chosen}"] if recipe.chosen else []),
        f"  on        {recipe.pairs:,} pairs{repeated_text(recipe)}, {recipe.tokens:.3g} tokens: "
        f"{recipe.steps:,} steps of {recipe.batch_size}",
        f"  with      learning rate {recipe.learning_rate:.3g}, warm-up {recipe.warmup:g}{_decay(recipe)}, weight "
        f"decay {recipe.weight_decay:g}, scale {recipe.scale:g}, {recipe.pooling} pooling, texts of at most "
        f"{recipe.max_length} tokens",
        *([f"  texts     {_texts(recipe)}"] if recipe.negatives or recipe.texts_source else []),
        *([f"  reads     {reads}"] if (reads := _reads(recipe)) else []),
        *([f"  batch     {recipe.batch_size}, {recipe.batch_source}"] if recipe.batch_source else []),
        *([f"  rate      {recipe.rate_source}"] if recipe.rate_source else []),
        f"  expect    held-out loss {recipe.predicted_loss:.3f}, with {100 * recipe.level:g} % {low:.3f} to {high:.3f} "
        f"(without a run's noise {least:.3f} to {most:.3f})",
        *_rate_costs(recipe),
        f"  measured  on {pairs}: {others}",
        f"  as good   {listed_text(f'{one.model} {one.method} ({recipe.beside(one):.3f})' for one in recipe.flat)}",
        f"  rejected  {len(recipe.rejected)} choices, such as: "
        + listed_text((f"{no.model or 'every model'} {no.method}: {no.reason}" for no in recipe.rejected), 2),
    ]
    lines += [f"  not paid  {line}" for line in _attention(recipe)]
    lines += [f"  start     {start}" for start in recipe.starts]
    lines += [f"  crossover {crossover}" for crossover in recipe.start_crossovers]
    if len(recipe.starts) > 1 and not recipe.start_crossovers:
        lines.append(f"  crossover none found between {' and '.join(start.lineage for start in recipe.starts)}")
    lines += [f"  crossover {crossover}" for crossover in recipe.crossovers]
    return "\n".join(lines + [f"  warning   {warning}" for warning in recipe.warnings[first:]])


def _rate_costs(recipe: RecipeValues) -> Iterator[str]:
    if recipe.rate_cost >= _TOLD_COST:
        what = "for the uncertain learning rate, as if all choices below had this one's"
        yield f"  of which  {100 * recipe.rate_cost:.1f} % are {what}"


def _texts(recipe: RecipeValues) -> str:
    count = f"{recipe.negatives} hard negative{'' if recipe.negatives == 1 else 's'} of each pair"
    return count + (f", {recipe.texts_source}" if recipe.texts_source else "")


def _reads(recipe: RecipeValues) -> str:
    parts = [f"query prompt {recipe.query_prompt!r}"] if recipe.query_prompt else []
    parts += [f"document prompt {recipe.document_prompt!r}"] if recipe.document_prompt else []
    parts += [f"{recipe.attention} attention"] if recipe.attention else []
    parts += [f"embeddings cut to {', '.join(map(str, recipe.matryoshka))}"] if recipe.matryoshka else []
    return "; ".join(parts)


def _attention(recipe: RecipeValues) -> list[str]:
    """A line on what attention adds at least: lengths that differ about the mean, the only one known, add more."""
    shape = known_shape(recipe.model)
    if shape is None:
        return []
    length = recipe.tokens / recipe.pairs / (2 + recipe.negatives)
    share = attention_share(parse_method(recipe.method), shape, [length])
    return say_attention(share, f"even if all texts had the mean length of {length:.0f} tokens")


def repeated_text(recipe: RecipeValues) -> str:
    """How often the pairs are gone over, in brackets, where that is more than once."""
    repeats = recipe.training_pairs is not None and recipe.pairs > recipe.training_pairs
    return f" ({recipe.passes:.3g} passes over {recipe.training_pairs:,})" if repeats else ""


def _decay(recipe: RecipeValues) -> str:
    return f", constant, decay over the last {recipe.decay:g}" if recipe.schedule == "wsd" else ""


def _spent(recipe: RecipeValues) -> str:
    factor = f", {recipe.extrapolation:.3g} times outside the measured budgets of the method"
    beyond = factor if recipe.extrapolation > 1 else ""
    if recipe.unspent_flops:
        beyond += f"; {recipe.unspent_flops:.3g} are left over, since {recipe.left_over}"
    if recipe.seconds is not None:
        beyond = f" in about {recipe.seconds / 3600:.3g} hours at the speeds of the measured runs{beyond}"
    if not recipe.serve_flops:
        of = f" of {recipe.budget:.3g}" if recipe.unspent_flops else ""
        return f"{recipe.train_flops:.3g}{of} FLOP{beyond}"
    return f"{recipe.budget:.3g} FLOP: {recipe.serve_flops:.3g} to serve, {recipe.train_flops:.3g} to train{beyond}"


def listed_text(items: Iterable[str], most: int = 8) -> str:
    """The first few items, and how many more there are."""
    every = list(items)
    more = [f"and {len(every) - most} more"] if len(every) > most else []
    return "; ".join([*every[:most], *more]) or "none"
