"""How is a page made of templates? By jinja2, everything escaped, and into one file that fetches nothing.

Templates, style sheets and scripts are files in `templates/`. Text from outside enters a page in two ways only: as text
of a template, which jinja2 escapes, or as JSON, in which no character is left that could end a script element. Only the
latter, our own files and what a template has made are marked `safe` in templates.
"""

import json
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from embudget.duration import duration
from embudget.plural import plural
from embudget.report.formats import fixed, number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "worker-src blob:"
)
"""Content-Security-Policy: the browser itself refuses whatever would go to a network. Plotly compiles functions."""


def rendered(template: str, **values: Any) -> str:  # noqa: ANN401 - whatever the template shows
    """A template with its values, which are escaped; a value that it names and does not get is an error."""
    return templates().get_template(template).render(**values)


@cache
def template_text(name: str) -> str:
    """A file beside the templates as it is: a style sheet, or a part of a script."""
    return (files("embudget.report") / "templates" / name).read_text(encoding="utf-8")


def one_scope(*names: str) -> str:
    """A script of several of our files in one scope, which leaves no name behind but what it puts into `window`."""
    joined = "\n".join(map(template_text, names))
    return f'"use strict";\n(() => {{\n{joined}\n}})();\n'


def embedded(data: str | Any) -> str:  # noqa: ANN401 - anything that JSON holds
    """Data for a script element, as JSON or already written as such; no text of it can end the element."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def drawing_of(name: str, figure: "Figure") -> dict[str, Any]:
    """A figure as templates show it; ``name`` is its own in the document."""
    return {"id": name, "json": figure.to_json(), "height": int(figure.layout.height)}


def style_sheet(*names: str) -> str:
    """Style sheets of ours for a style element."""
    return "\n".join(map(template_text, names))


def plotly_script() -> str:
    """Plotly as its package brings it."""
    from plotly.offline import get_plotlyjs

    code: str = get_plotlyjs()
    return code


@cache
def templates() -> Environment:
    """The templates, with the formats that they write numbers in."""
    made = Environment(
        loader=PackageLoader("embudget.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"number": number, "plural": plural, "fixed": fixed, "duration": duration, "embedded": embedded}
    made.globals |= {
        "policy": POLICY, "version": version("embudget"), "style_sheet": style_sheet, "one_scope": one_scope,
        "plotly_script": plotly_script,
    }  # fmt: skip
    return made
