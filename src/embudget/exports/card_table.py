"""Tables and inline code in Markdown."""

from collections.abc import Mapping


def table(title: str, rows: Mapping[str, str]) -> str:
    """A table of names and values under one title."""
    return "\n".join([f"| {title} | |", "|---|---|", *(f"| {name} | {cell(value)} |" for name, value in rows.items())])


def cell(text: str) -> str:
    """A text within a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def inline(text: str) -> str:
    """A prompt as inline code, its line breaks visible."""
    return text.replace("\n", "\\n").replace("`", "'")
