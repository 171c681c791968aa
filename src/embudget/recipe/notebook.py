"""What does a notebook show of a recipe that ends a cell? What to train and how, what to expect, and what to doubt.

It is HTML without colours of its own, so that it suits the light and the dark theme. `print` shows the choices that
were rejected, too.
"""

from collections.abc import Mapping, Sequence
from html import escape

from embudget.recipe.choice import Untrained

_LEFT = ' style="text-align:left"'


def recipe_html(facts: Mapping[str, str], warnings: Sequence[str], untrained: Untrained | None) -> str:
    """A heading, a table of the recipe's facts and its warnings, as HTML; all texts are escaped.

    Args:
        facts: in words, by their names.
        warnings: what to doubt.
        untrained: the start to use instead, which is said first.
    """
    body = "".join(
        f'<tr><th scope="row"{_LEFT}>{escape(name)}</th><td{_LEFT}>{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    listed = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    doubts = f"<p>Warnings:</p><ul>{listed}</ul>" if listed else ""
    instead = "" if untrained is None else f"<p><b>Use {escape(str(untrained))}.</b></p>"
    title = "Recipe" if untrained is None else "The best trained choice"
    return f"<div>{instead}<p><b>{title}</b></p><table><tbody>{body}</tbody></table>{doubts}</div>"
