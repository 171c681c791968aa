"""The laws that come with the package: found by name, unless there is a file of that name."""

from difflib import get_close_matches
from pathlib import Path

from embudget.errors import ConfigError, shortened
from embudget.laws.laws import Laws

FOLDER = Path(__file__).parents[1] / "data" / "laws"
"""Holds NAME.json for each of the built-in laws. All were fitted to measured runs, never to simulated ones."""


def builtin_names() -> tuple[str, ...]:
    """The names of the built-in laws, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def builtin_name(wanted: str | Path) -> str | None:
    """The name of the built-in laws that ``wanted`` means; None where it means a file, which comes first."""
    name = str(wanted)
    return name if name in builtin_names() and not Path(wanted).is_file() else None


def find_laws(wanted: str | Path) -> Laws:
    """Laws of a file that `embudget fit` wrote, or built-in ones by their name.

    Raises:
        ConfigError: there is neither, or the file cannot be read or is not of laws.

    Example:
        >>> eb.find_laws("smollm2").methods[:3]
        ('freeze:0.25', 'freeze:0.5', 'freeze:0.75')
    """
    name = builtin_name(wanted)
    if name is not None:
        return Laws.load(FOLDER / f"{name}.json")
    try:
        Path(wanted).stat()
    except FileNotFoundError:
        names = builtin_names()
        known = f"the built-in laws are {', '.join(names)}" if names else "there are no built-in laws"
        close = "".join(f"; did you mean {one}?" for one in get_close_matches(str(wanted).lower(), names, n=1))
        raise ConfigError(f"cannot read {shortened(str(wanted), 100)}: no such file, and {known}{close}") from None
    except (OSError, ValueError):
        pass  # the reader says what is wrong
    return Laws.load(wanted)


def describe_origin(wanted: str | Path, laws: Laws) -> str | None:
    """Where built-in laws come from and what they saw, in one line; None for those of a file, which its user knows."""
    name = builtin_name(wanted)
    if name is None:
        return None
    table = laws.table
    models, budgets = table.models, table.budgets
    known = [
        f"{len(models)} models from {models[0]} to {models[-1]}" if len(models) > 1 else models[0],
        f"by {', '.join(laws.methods)}",
        f"with {budgets[0]:.3g} to {budgets[-1]:.3g} FLOP",
        *([f"on the pairs {table.pairs}"] if table.pairs else []),
        *([f"texts of at most {table.max_length} tokens"] if table.max_length else []),
    ]
    return f"{name}, built in: measured on {'; '.join(known)}"
