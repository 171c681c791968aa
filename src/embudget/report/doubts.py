"""What to doubt in a study, in plain words, each with what to do about it.

These are the warnings of `embudget fit` and `embudget recipe`, made from the same fields. There they are written for
who knows the laws, here for who reads the page only.
"""

from collections.abc import Iterator
from typing import NamedTuple

from embudget.laws import Laws
from embudget.laws.checks import Refusal
from embudget.laws.diagnostics import CellDiagnosis, Diagnostics, mixed_setting_warnings, rate_warnings, uneven_tuning
from embudget.plural import plural
from embudget.recipe import Recipe
from embudget.report.formats import number
from embudget.report.shown import Counted


class Doubt(NamedTuple):
    """A warning for a reader of the page."""

    what: str
    do: str


def doubts_of(runs: Counted, laws: Laws, recipe: Recipe | None) -> dict[str, list[str]]:
    """What to do -> the warnings that ask for it: of the recipe that the page was given, of the laws, of the runs."""
    found: dict[str, list[str]] = {}
    for what, do in _every(runs, laws, recipe):
        found.setdefault(do, []).append(what)
    return found


def _every(runs: Counted, laws: Laws, recipe: Recipe | None) -> list[Doubt]:
    found = (
        [Doubt(_sentence(text), "Read it before you spend the budget.") for text in recipe.warnings] if recipe else []
    )
    for one in laws.every:
        of = f"{one.lineage}: " if laws.others else ""
        found += [Doubt(of + what, do) for what, do in _of_laws(one)]
    uneven = uneven_tuning({str(one.lineage): one.cells for one in laws.every})
    if uneven is not None:
        found.append(Doubt(_sentence(uneven), "Try three learning rates of every start before you compare them."))
    return [*found, *_of_runs(runs)]


def _of_laws(laws: Laws) -> Iterator[Doubt]:
    for remark in laws.table.remarks:
        yield Doubt(_sentence(remark.text), "Check what the columns of the table of runs mean.")
    yield from _of_cells(laws.diagnostics)
    yield from _of_form(laws.diagnostics)
    for text in rate_warnings(laws.cells):
        yield Doubt(_sentence(text), "Try learning rates beyond the best one, until worse ones lie on both sides.")
    for text in mixed_setting_warnings(laws.cells):
        yield Doubt(_sentence(text), "Fit them separately.")
    for no in laws.refusals:
        if no.budget is None:
            yield Doubt(f"{_sentence(no.what)[:-1]} could not be fitted: {no.reason}.", _remedy(no))
    if laws.table.dropped:
        counts = ", ".join(f"{reason} ({count:,})" for reason, count in laws.table.dropped.items())
        yield Doubt(f"Runs that were left out of the laws: {counts}.", "Look at them in the table below.")


def _of_cells(found: Diagnostics) -> Iterator[Doubt]:
    for cell in found.influential:
        yield Doubt(
            f"One point decides the law: {_named(cell)}. Without it the answer would differ.",
            "Run it again with another seed, and measure a size or budget next to it.",
        )
    for cell in found.outlying:
        yield Doubt(
            f"One point lies far off the law and counts little: {_named(cell)}.",
            "Look at its runs in the table below; if nothing is wrong with them, run it again with another seed.",
        )


def _of_form(found: Diagnostics) -> Iterator[Doubt]:
    for what in found.patterns:
        yield Doubt(
            f"The law misses in a pattern: its errors follow {what}.",
            "Trust it near the measured budgets only. A study with more sizes and budgets may fit another law.",
        )
    for what in found.at_bound:
        yield Doubt(
            f"{what[:1].upper()}{what[1:]} ended at the end of what the fit allows.",
            "Measure sizes and budgets that lie further apart.",
        )
    if found.unlinked:
        yield Doubt(
            f"{' and '.join(found.unlinked)} were measured at no common budget, so which is better is a guess.",
            "Measure both at one budget.",
        )
    if not found.asymptote_identified and found.asymptote is not None:
        low, high = found.asymptote
        yield Doubt(
            f"These runs do not say where the loss will level off: anywhere from {low:.2g} to {high:.2g} nats.",
            "Trust far budgets little. Runs at 4 times the largest budget would tell most.",
        )


def _of_runs(runs: Counted) -> Iterator[Doubt]:
    if count := runs.ended["failed"]:
        yield Doubt(
            f"{plural(count, 'run')} failed.",
            "The table below says why, by status “failed”. “embudget sweep --retry-failed” tries them again.",
        )
    if count := runs.ended["diverged"]:
        yield Doubt(f"{plural(count, 'run')} diverged.", "Lower the largest learning rates of the study.")
    if count := runs.ended["no_gain"]:
        yield Doubt(
            f"{plural(count, 'run')} ended no better than chance, and no law counts them.",
            "Train longer, or at other learning rates.",
        )


def _remedy(no: Refusal) -> str:
    if no.error == "TooFewRunsError":
        return "Add runs of it to the study."
    return "Measure it at more sizes and budgets, nearer to its best size."


def _named(cell: CellDiagnosis) -> str:
    off = 100 * (cell.ratio - 1)
    return (
        f"{cell.model} by {cell.method} at {number(cell.budget)} FLOP, measured {abs(off):.1f} % "
        f"{'above' if off > 0 else 'below'} the law"
    )


def _sentence(text: str) -> str:
    """A warning as a sentence; the name of a model at its beginning, as smollm2-135m, keeps its letters."""
    first = text[:1].upper() if text.split()[0].isalpha() else text[:1]
    return first + text[1:] + ("" if text.endswith(".") else ".")
