"""An HTML document with everything in it, plotly included, that opens offline."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from embudget.report.answer import DATA, answer_script, answer_style
from embudget.report.browser import CSS, POLICY, SCRIPT
from embudget.report.formats import html

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def document(title: str, heading: str, sections: Iterable[str], answers: Mapping[str, Any] | None = None) -> str:
    """The document of sections in HTML, the figures among them made by `figure_element`.

    Args:
        title: of the window.
        heading: of the page.
        sections: its content.
        answers: the data of `embudget.report.answer.answer_section`, where that is among the sections.
    """
    from plotly.offline import get_plotlyjs

    style, script = (CSS, "") if answers is None else (CSS + answer_style(), _answering(answers))

    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{html(heading)}</h1>
{chr(10).join(sections)}
<noscript><p>The figures need JavaScript; the tables do not.</p></noscript>
<footer>embudget {html(version("embudget"))}</footer>
</main>
<script>{get_plotlyjs()}</script>
<script>{SCRIPT}</script>
{script}</body>
</html>
"""


def _answering(answers: Mapping[str, Any]) -> str:
    """The data and the script of the section that answers; no text of the data can end its element."""
    data = json.dumps(answers)
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{DATA}">{data}</script>\n<script>{answer_script()}</script>\n'


def figure_element(name: str, figure: "Figure", caption: str = "", kind: str = "") -> str:
    """A figure as HTML; ``name`` is its own in the document, ``caption`` is HTML, ``kind`` a class of the style."""
    data = figure.to_json()  # plotly writes < as \u003c, so that no text can end the script element
    height = int(figure.layout.height)
    return (
        f'<figure class="{kind}"><div class="plot" style="height:{height}px" data-figure="{name}"></div>'
        f'<script type="application/json" id="{name}">{data}</script>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
