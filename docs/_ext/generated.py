"""What the reference takes from the code when the site is built: the help of every command, and tables of fields.

A page asks for it by a comment on a line of its own, which is replaced before the page is read:

    <!-- commands -->                       every command with its help, as the command line prints it
    <!-- fields embudget.study:Study -->    a table of the fields of a pydantic model
    <!-- figures -->                        every figure: a picture, how to read it, the command that draws it

The Python reference shows validated values without a signature: pydantic makes it of the fields, which have a table.
"""

import json
import re
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

MARK = re.compile(r"^<!-- (commands|fields|figures) ?([\w.:]*) -->$", re.MULTILINE)
PICTURES = Path(__file__).parents[1] / "figures"
"""Written by `python -m studies.publish.gallery`."""
WIDTH = 88
"""Characters a line of the help, which is what the theme shows without a scroll bar."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-signature", hide_signature)
    return {"parallel_read_safe": True}


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the comments of a page."""
    makers = {"commands": lambda _: commands(), "fields": fields, "figures": lambda _: figures(PICTURES)}
    source[0] = MARK.sub(lambda found: makers[found[1]](found[2]), source[0])


def hide_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str, None] | None:
    """Show a validated value without its signature."""
    return ("", None) if isinstance(obj, type) and issubclass(obj, BaseModel) else None


def commands() -> str:
    """A section for each command of the command line: its help, word for word."""
    from embudget.cli.app import app

    sections = [(name, text) for name, text in helps("embudget", typer.main.get_command(app), None)]
    return "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in sections)


def helps(name: str, command: Any, parent: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - typer exports no types
    """The name and the help of a command, then of those below it."""
    words = command.context_settings | ({} if parent is None else {"parent": parent})
    context = command.context_class(
        command, info_name=name.rpartition(" ")[2], terminal_width=WIDTH, max_content_width=WIDTH, **words
    )
    yield name, command.get_help(context)
    for below, one in getattr(command, "commands", {}).items():
        yield from helps(f"{name} {below}", one, context)


def fields(place: str) -> str:
    """A table in Markdown of a model's fields: name, type, default, meaning."""
    module, _, name = place.partition(":")
    model = getattr(import_module(module), name)
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field, info in model.model_fields.items():
        default = "required" if info.is_required() else f"`{default_of(info)}`"
        rows.append(f"| `{field}` | {type_of(info.annotation)} | {default} | {sentence(info.description)} |")
    return "\n".join(rows)


def figures(pictures: Path) -> str:
    """A section for each figure of the catalogue; ``pictures`` is a folder beside the folder of the page.

    Raises:
        ExtensionError: a picture is missing, or its study.
    """
    from embudget.figures import FIGURES

    said = pictures / "studies.json"
    whose = json.loads(said.read_text(encoding="utf-8")) if said.is_file() else {}
    if missing := [name for name in FIGURES if name not in whose or not (pictures / f"{name}.png").is_file()]:
        raise ExtensionError(
            f"docs/{pictures.name}/{missing[0]}.png is missing (one of {len(missing)}): run "
            "python -m studies.publish.gallery"
        )
    return "\n\n".join(figure_section(name, kind, whose[name], pictures.name) for name, kind in FIGURES.items())


def figure_section(name: str, kind: Any, study: str, folder: str) -> str:  # noqa: ANN401 - matplotlib stays unloaded
    """The section of one figure in Markdown."""
    paper = "" if kind.paper is None else f" It is the paper's figure {kind.paper}."
    needs = " and ".join(NEEDED[need] for need in kind.needs)
    caption = sentence(kind.caption)
    return (
        f"## {name}\n\n![{caption.partition('. ')[0].rstrip('.')}](../{folder}/{name}.png)\n\n{caption}\n\n"
        f"Shown here for `results/{study}`, drawn from {needs}.{paper}\n\n"
        f"```text\nembudget figures study.db --only {name}\n```"
    )


NEEDED = {
    "cells": "the measured cells, with their laws where there are enough", "laws": "laws",
    "records": "the records of single runs", "decisions": "the decisions of `embudget spend`",
}  # fmt: skip
"""What a figure needs, in words."""


def default_of(info: Any) -> str:  # noqa: ANN401 - pydantic's FieldInfo
    """A default as YAML would have it; what is made by a factory is shown as made."""
    value = info.get_default(call_default_factory=True)
    return "none" if value is PydanticUndefined else yaml_of(value)


def yaml_of(value: Any) -> str:  # noqa: ANN401 - whatever a field holds
    """A value on one line of YAML; large numbers as a user writes them, 1e12."""
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return yaml_of(value.model_dump())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml_of(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(yaml_of, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:g}")
    return str(value)


def sentence(text: str | None) -> str:
    """A description as a cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


PLAIN = {
    float: "number", int: "integer", str: "text", bool: "true or false", dict: "mapping", type(None): "nothing",
    Any: "anything", tuple: "list", Path: "path",
}  # fmt: skip


def type_of(kind: Any) -> str:  # noqa: ANN401 - any annotation
    """A type in words that need no Python."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_of(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_of(part) for part in parts if part is not type(None)))
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"list of {type_of(parts[0])}"
    if origin is dict:
        return f"mapping of {type_of(parts[0])} to {type_of(parts[1])}"
    return PLAIN.get(kind) or (f"`{kind.__name__}`" if isinstance(kind, type) else str(kind))
