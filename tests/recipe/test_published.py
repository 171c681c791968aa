"""Recipes of the built-in laws are those that were written down when these laws were last fitted, on 2026-11-30.

`published_recipes.json` holds them. A change that is meant to move recipes writes the file anew, and says in
docs/log.md by how much they moved.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from embudget.errors import EmbudgetError
from embudget.laws import Laws, find_laws
from embudget.recipe import recommend

EXPECTED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "published_recipes.json").read_text())


@pytest.fixture(scope="module")
def laws() -> dict[str, Laws]:
    return {name: find_laws(name) for name in {row["laws"] for row in EXPECTED}}


@pytest.mark.parametrize(
    "row", EXPECTED, ids=lambda row: f"{row['laws']} {row['budget']:.3g} {' '.join(row['wishes'])}"
)
def test_the_recipe_is_that_of_before(laws: dict[str, Laws], row: dict[str, Any]) -> None:
    expected = row["recipe"]
    try:
        recipe = recommend(laws[row["laws"]], row["budget"], **row["wishes"], force=True)
    except EmbudgetError as error:
        assert expected == {"error": type(error).__name__}
        return
    for field, value in expected.items():
        found = getattr(recipe, field)
        assert found == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9)), field
