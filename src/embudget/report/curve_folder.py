"""Recipes along budgets as a folder: curve.json for programs, curve.csv for spreadsheets, curve.html to look at."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from embudget.errors import ConfigError
from embudget.files import whole_folder
from embudget.laws import Laws
from embudget.outputs import Input, check_folder_output
from embudget.owned import check_owned, list_files
from embudget.recipe import CurvePoint, curve_warnings
from embudget.report.curve import curve_figure
from embudget.report.look import method_looks
from embudget.report.rendering import drawing_of, rendered
from embudget.report.tables import curve_listed

COLUMNS = (
    "budget", "model", "method", "model_params", "train_flops", "serve_flops", "tokens", "steps", "batch_size",
    "learning_rate", "predicted_loss", "low", "high", "loss_low", "loss_high", "extrapolation", "supported", "flat",
    "warnings", "reason",
)  # fmt: skip


def write_curve(out: str | Path, points: Sequence[CurvePoint], laws: Laws) -> Path:
    """Write a curve as a folder, whole or not at all; an older curve there is replaced.

    Raises:
        ConfigError: the folder cannot be written, or holds other files.

    Example:
        >>> laws = eb.find_laws("smollm2")
        >>> eb.write_curve("curve/", eb.recipe_curve(laws, 1e13, 1e15), laws)
        PosixPath('curve')
    """
    check_curve_folder(out)
    try:
        with whole_folder(Path(out), check=_check_curve) as part:
            data = [point.model_dump(mode="json") for point in points]
            (part / "curve.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
            (part / "curve.csv").write_text(_csv(points), encoding="utf-8")
            (part / "curve.html").write_text(_page(points, laws), encoding="utf-8")
            list_files(part)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    return Path(out)


def check_curve_folder(out: str | Path, inputs: Iterable[Input] = ()) -> None:
    """Refuse, before anything is computed, a folder that a curve must not or cannot be written to.

    Raises:
        ConfigError: it is one of the inputs, holds other files, or cannot be written.
    """
    check_folder_output(out, inputs)
    try:
        _check_curve(Path(out))
    except OSError as error:
        raise ConfigError(f"cannot read {out}: {error.strerror}") from None


def _check_curve(folder: Path) -> None:
    check_owned(folder, "a curve")


def _csv(points: Sequence[CurvePoint]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(point) for point in points)
    return text.getvalue()


def _row(point: CurvePoint) -> dict[str, Any]:
    """One budget, a value for each of `COLUMNS`; absent where there is none."""
    recipe = point.recipe
    if recipe is None:
        return {"budget": point.budget, "reason": point.reason}
    (low, high), (least, most) = recipe.predicted_interval, recipe.loss_interval
    own = {column: getattr(recipe, column) for column in COLUMNS if column in type(recipe).model_fields}
    flat = "; ".join(f"{choice.model} {choice.method}" for choice in recipe.flat)
    intervals = {"low": low, "high": high, "loss_low": least, "loss_high": most}
    return own | intervals | {"budget": point.budget, "flat": flat, "warnings": "; ".join(recipe.warnings)}


def _page(points: Sequence[CurvePoint], laws: Laws) -> str:
    figure = curve_figure(points, laws)
    looks = method_looks(method for one in laws.every for method in one.table.methods)
    drawn = {trace.legendgroup for trace in figure.data}
    return rendered(
        "curve.html",
        title="embudget: recipes along budgets",
        heading="The best choice at every budget",
        curve=drawing_of("curve", figure),
        methods=[look for look in looks if look["name"] in drawn],
        warnings=curve_warnings(points),
        table=curve_listed(points),
        refused=[point for point in points if point.recipe is None],
    )
