"""What does a notebook show of a recipe that ends a cell? What to train and how, what to expect, and what to doubt.

It is HTML without colours of its own, so that it suits the light and the dark theme. `print` shows the choices that
were rejected, too.
"""

from html import escape

from embudget.recipe.text import listed_text, repeated_text
from embudget.recipe.values import RecipeValues

_LEFT = ' style="text-align:left"'


def recipe_html(recipe: RecipeValues) -> str:
    """A heading, a table of the recipe's facts and its warnings, as HTML; all texts are escaped."""
    low, high = recipe.predicted_interval
    facts = {
        "budget": f"{recipe.budget:.3g} FLOP",
        "train": f"{recipe.model} by {recipe.method}",
        "on": f"{recipe.pairs:,} pairs{repeated_text(recipe)}, {recipe.tokens:.3g} tokens: {recipe.steps:,} steps of "
        f"{recipe.batch_size}",
        "learning rate": f"{recipe.learning_rate:.3g}",
        "expect": f"held-out loss {recipe.predicted_loss:.3f} nats, with {100 * recipe.level:g} % {low:.3f} to "
        f"{high:.3f}",
        "outside the measured budgets": f"{recipe.extrapolation:.3g} times" if recipe.extrapolation > 1 else "no",
        "as good": listed_text(f"{one.model} {one.method} ({recipe.beside(one):.3f})" for one in recipe.flat),
        "rejected": f"{len(recipe.rejected):,} choices",
    }
    body = "".join(
        f'<tr><th scope="row"{_LEFT}>{escape(name)}</th><td{_LEFT}>{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    listed = "".join(f"<li>{escape(text)}</li>" for text in recipe.warnings)
    doubts = f"<p>Warnings:</p><ul>{listed}</ul>" if listed else ""
    instead = "" if recipe.untrained is None else f"<p><b>Use {escape(str(recipe.untrained))}.</b></p>"
    title = "Recipe" if recipe.untrained is None else "The best trained choice"
    return f"<div>{instead}<p><b>{title}</b></p><table><tbody>{body}</tbody></table>{doubts}</div>"
