"""How a Python docstring becomes prose: NumPy, Google and Sphinx style turn into sentences, and code is left out.

Lines are filtered first, sections by their headings and code by its indentation, fences and prompts. Then markup is
removed from what is left, and the first sentence is split off.
"""

import re
from collections.abc import Iterator

from embudget.pairs.text import first_sentence, join_lines, without_markdown

_UNDERLINE = re.compile(r"\s*([-=~^\"'*+#])\1{2,}\s*")
_GOOGLE_HEADING = re.compile(r"(?P<title>[A-Z][A-Za-z ]{2,24}):+\s*")
_DROPPED_SECTIONS = frozenset(
    {
        "author", "authors", "bibliography", "citation", "contents", "copyright", "doctest", "example", "example usage",
        "examples", "examples and usage", "license", "reference", "references", "see also", "tests", "usage",
        "usage example", "usage examples",
    }
)  # fmt: skip
_PARAMETER_SECTIONS = frozenset(
    {
        "attributes", "keyword arguments", "other parameters", "parameters", "raises", "return", "returns", "warns",
        "yields",
    }
)  # fmt: skip
_DROPPED_DIRECTIVES = frozenset(
    {
        "autoclass", "autofunction", "automodule", "autosummary", "bibliography", "code", "code-block", "codeblock",
        "csv-table", "currentmodule", "deprecated", "doctest", "figure", "footbibliography", "graphviz", "highlight",
        "image", "include", "index", "inheritance-diagram", "ipython", "list-table", "math", "minigallery", "module",
        "only", "parsed-literal", "plot", "raw", "rubric", "seealso", "sourcecode", "table", "testcode", "testoutput",
        "testsetup", "toctree", "versionadded", "versionchanged",
    }
)  # fmt: skip
_DIRECTIVE = re.compile(r"(?P<indent>\s*)\.\. +(?:(?P<name>[\w-]+(?::[\w-]+)?)::(?P<text>.*)|\[.*\].*|_.*:.*|\|.*)")
_NUMPY_PARAMETER = re.compile(r"(?P<names>[*\w]+(?:, ?[*\w]+)*)(?P<type> ?: .*)?")
_TYPE = r"\([^)\n]*(?:\([^)\n]*\)[^)\n]*)*\)"  # a type in parentheses, which may hold other parentheses
_GOOGLE_PARAMETER = re.compile(rf"^(\s*[-*]? ?`{{0,2}}[*\w]+`{{0,2}}) ?{_TYPE}\s*:\s*", re.MULTILINE)
_SPHINX_FIELD = "(?:param|parameter|arg|argument|key|keyword|raises?|ivar|cvar)"
_MARKUP = [
    (re.compile(r":(?:[\w+-]+:)+`([^`<]*?)\s*<[^`>]*>`"), r"\1"),  # :ref:`text <target>`
    (re.compile(r":(?:[\w+-]+:)+`[~!]?(?:[\w.]*\.)?([^`]*)`"), r"\1"),  # :class:`~package.Name`
    (re.compile(r"`([^`<\n]+?)\s*<[^`>]+>`__?"), r"\1"),  # `text <url>`_
    (re.compile(r"`([^`\n]+)`__?\b"), r"\1"),  # `target`_
    (re.compile(r"\[`~?([^`\]]+)`\]"), r"\1"),  # [`Name`], as in transformers
    (re.compile(r"\s?\[[\w.]+\]_"), ""),  # [1]_
    (re.compile(r"^\s*:(?:type|rtype|vartype)\b[^\n]*$", re.MULTILINE), ""),
    (re.compile(r"^(\s*):(?:returns?|yields?):\s*", re.MULTILINE), r"\1Returns "),
    (re.compile(rf"^(\s*):{_SPHINX_FIELD}(?: [^:\n]*?)? ?([*\w.]+):\s*", re.MULTILINE), r"\1\2: "),
    (re.compile(r"\\([*_`|\\])"), r"\1"),
]


def summary_and_rest(docstring: str) -> tuple[str, str]:
    r"""Split a docstring into its first sentence and the prose behind it.

    Examples, references, code, formulas and directives are left out. Parameters keep their names and descriptions, but
    not their types.

    Args:
        docstring: as `ast.get_docstring` returns it, without common indentation.

    Returns:
        Both sides; the second is empty if there is nothing but a summary.

    Example:
        >>> summary_and_rest("Load the model.\n\nArgs:\n    path (str): Where it is.")
        ('Load the model.', 'path: Where it is.')
    """
    text = "\n".join(_without_code(_without_sections(docstring.split("\n"))))
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    text = _GOOGLE_PARAMETER.sub(r"\1: ", text)
    return first_sentence(join_lines(without_markdown(text)))


def _without_sections(lines: list[str]) -> Iterator[str]:
    """Leave out headings, whole sections such as examples and references, and the types of NumPy-style parameters."""
    keep, parameters, underlined = True, False, False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if underlined:  # the line under a title
            underlined = False
            continue
        title = _heading(line, following)
        if title is not None:
            underlined = _UNDERLINE.fullmatch(following) is not None
            parameters = underlined and title in _PARAMETER_SECTIONS
            keep = title not in _DROPPED_SECTIONS
            yield ""
        elif keep:
            yield _parameter_name(line, following) if parameters else line


def _heading(line: str, following: str) -> str | None:
    """Return the title, in lower case, if a section begins at this line; else None.

    A heading is underlined as in NumPy style, or stands at the margin with a colon as in Google style.
    """
    if _UNDERLINE.fullmatch(following) and line.strip() and not _UNDERLINE.fullmatch(line):
        return line.strip().lower().rstrip(":")
    google = _GOOGLE_HEADING.fullmatch(line)
    if google is not None and (following.startswith((" ", "\t")) or not following.strip()):
        return google.group("title").lower()
    return None


def _parameter_name(line: str, following: str) -> str:
    """Drop the type from a line that introduces a NumPy-style parameter, or the line if no description follows."""
    parameter = _NUMPY_PARAMETER.fullmatch(line)
    if parameter is None:
        return line
    if following.startswith(" "):
        return f"\n{parameter.group('names')}:"
    return "" if parameter.group("type") else line


def _without_code(lines: Iterator[str]) -> Iterator[str]:
    """Leave out doctests with their output, fenced and indented code, directives, tables and ruled lines."""
    indent: int | None = None  # a block that is left out ends at a line that is indented no more than this
    fenced = doctest = False
    for line in lines:
        stripped = line.strip()
        fence = stripped.startswith("```")
        fenced ^= fence
        if fence or fenced or (indent is not None and (not stripped or _indent(line) > indent)):
            continue
        indent = None
        doctest = stripped.startswith((">>>", "In [")) or (doctest and bool(stripped))  # an empty line ends it
        if doctest:
            continue
        directive = _DIRECTIVE.fullmatch(line)
        if directive is not None:
            if directive["name"] is None or directive["name"] in _DROPPED_DIRECTIVES:
                indent = len(directive["indent"])
                yield ""
                continue
            stripped = directive["text"].strip()  # other directives, such as a note, keep their text
            line = directive["indent"] + stripped
        if stripped.startswith(("|", "+-", "+=")) or _UNDERLINE.fullmatch(line):
            continue
        if stripped.endswith("::"):  # code follows
            indent = _indent(line)
            line = line.rstrip()[:-1]
        yield line


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
