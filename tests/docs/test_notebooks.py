"""The notebooks in `examples/` run from a fresh start, cell by cell, and are kept without what they showed.

A fresh process of Python runs the cells, without Jupyter: of a cell that ends in a value it makes what a notebook would
show.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
RUNNER = """
import ast, json, sys

names = {"__name__": "__main__"}
for number, source in enumerate(json.load(open(sys.argv[1]))):
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), f"cell {number}", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
        if value is not None:
            print(getattr(value, "_repr_html_", value.__repr__)())
"""
SHOWN = {
    "judge": ["you will know the best choice at 6.4e+13 FLOP to within", "regret of 9 in 10"],
    "one_gpu": ["16 runs, 2e+11 FLOP", "<b>Recipe</b>", "nDCG@10"],
    "own_runs": ["32 runs in 32 cells count", "<b>Laws</b>", "<b>Recipe</b>", "smollm2-135m"],
}
"""What each must print or show, in this order."""


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"]
    return found


def test_every_notebook_is_tested() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(SHOWN)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_begins_with_its_purpose(notebook: Path) -> None:
    first, *others = cells(notebook)
    assert first["cell_type"] == "markdown"
    assert "".join(first["source"]).startswith("# ")
    assert len({cell["id"] for cell in (first, *others)}) == len(others) + 1
    for cell in others:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_a_fresh_start(notebook: Path, tmp_path: Path) -> None:
    code = ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "code"]
    (tmp_path / "cells.json").write_text(json.dumps(code))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, "cells.json"], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env=os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    place = 0
    for text in SHOWN[notebook.stem]:
        place = done.stdout.find(text, place)
        assert place >= 0, f"{text!r} is not in\n{done.stdout[-3000:]}"
