"""Which runs did others publish, and what is left out of them to be forecast? Cuts of the tables in shared/data/laws.

Tables of budgets are cut by budget, checkpoints by size and by tokens, fine-tuning by the number of examples: from
above, and from below. Every cut gives the table of what is known, and the runs that were left out.
"""

import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from embudget.runs import RunTable

FAMILIES = 4
"""Sizes of a family of models that is fitted by itself, at least."""
TOKENS = 100.0
"""Tokens of a fine-tuning example: assumption, no choice depends on it."""
EVERY = 16
"""Every so many checkpoints of a run."""


class Run(NamedTuple):
    """One run that is forecast."""

    method: str
    model_params: float
    tokens: float
    log_loss: float
    level: float
    """runs of one level are choices for one budget"""


class Cut(NamedTuple):
    """What is known of a table, and what is to be forecast."""

    group: str
    known: RunTable
    runs: list[Run]


def cuts_of(folder: Path) -> Iterator[Cut]:
    """All cuts of all tables in a folder."""
    rows = _rows(folder / "chinchilla_svg_extracted.csv")
    chinchilla = [_run(row["Model Size"], float(row["Training FLOP"]) / 6 / float(row["Model Size"]), row["loss"])
                  for row in rows]  # fmt: skip
    yield from _cut("chinchilla", chinchilla, _flop, (3e19, 1e20, 3e20, 8e20), (1.5e19, 8e19))
    best: dict[tuple[str, str], float] = {}
    for row in _rows(folder / "steplaw_dense_lr_bs_loss.csv"):
        best[row["N"], row["D"]] = min(best.get((row["N"], row["D"]), np.inf), float(row["smooth loss"]))
    steps = [_run(size, tokens, loss) for (size, tokens), loss in best.items()]
    yield from _cut("steplaw", steps, _flop, (3e19, 6e19, 1.1e20), (1e19, 2.2e19))
    gems = [_run(row["params_active_precise"], row["tokens"], row["final_loss"]) | {"run": row["run_name"]}
            for row in _rows(folder / "gemstones_checkpoints.csv")]  # fmt: skip
    sizes = list({row["run"]: row["model_params"] for row in gems}.values())
    ends = [1.0001 * float(np.quantile(sizes, share)) for share in (0.5, 0.75)]
    yield from _cut("gemstones by size", gems[::EVERY], lambda row: float(row["model_params"]), ends, ())
    yield from _cut("gemstones by tokens", gems[::EVERY], lambda row: float(row["tokens"]), (3e10, 1e11), (1e11,))
    for name, tuned in _finetuned(folder):
        yield from _cut(f"finetuning {name}", tuned, lambda row: float(row["level"]), (409601,), (800,))


def _cut(
    group: str, rows: Sequence[dict[str, Any]], by: Callable[[dict[str, Any]], float], above: Iterable[float],
    below: Iterable[float],
) -> Iterator[Cut]:  # fmt: skip
    """Leave out what lies at or above some values, then what lies at or below others."""
    sides = [("up", [by(row) < at for row in rows]) for at in above]
    sides += [("down", [by(row) > at for row in rows]) for at in below]
    for way, kept in sides:
        runs = [
            Run("full", row["model_params"], row["tokens"], np.log(row["loss"]), row.get("level") or _level(row))
            for row, keep in zip(rows, kept, strict=True)
            if not keep
        ]
        yield Cut(f"{group} {way}", _table([row for row, keep in zip(rows, kept, strict=True) if keep]), runs)


def _finetuned(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name in ("flan", "gigaword", "wmt19"):
        rows = _rows(folder / f"finetuning_{name}.csv")
        for family in sorted({row["family"] for row in rows}):
            mine = [row for row in rows if row["family"] == family]
            if len({row["size"] for row in mine}) >= FAMILIES:
                yield name, [_run(row["size"], TOKENS * int(count), row[count])
                             | {"model": row["config name"], "level": float(count)}
                             for row in mine for count in row if count.isdigit() and int(count)]  # fmt: skip


def _run(size: str, tokens: str | float, loss: str | float) -> dict[str, Any]:
    return {"model_params": float(size), "tokens": float(tokens), "loss": float(loss)}


def _flop(row: dict[str, Any]) -> float:
    return 6 * float(row["model_params"]) * float(row["tokens"])


def _level(row: dict[str, Any]) -> float:
    return float(f"{_flop(row):.1e}")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _table(rows: Sequence[dict[str, Any]]) -> RunTable:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [name for name in rows[0] if name != "level"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return RunTable.read(path)
