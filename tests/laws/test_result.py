"""Files of laws that were tampered with: one line each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embudget.design import World, simulate
from embudget.errors import ConfigError
from embudget.laws import Laws, fit
from tests.laws.studies import MODELS, SHARED

Data = dict[str, Any]


@pytest.fixture(scope="module")
def laws() -> Laws:
    truth = {method: SHARED[method] for method in ("full", "lora:32")}
    return fit(simulate(World(truth=truth, models=MODELS, noise=0.01)), draws=3, forms=["chinchilla"])


def drop_a_value(data: Data) -> None:
    data["surface"]["components"][0]["branches"][0]["draws"][-1].pop()


def drop_draws(data: Data) -> None:
    data["surface"]["components"][0]["branches"][0]["draws"] = []


def lengthen_all(data: Data) -> None:
    branch = data["surface"]["components"][0]["branches"][0]
    for values in (branch["fit"], *branch["draws"]):
        values.append(0.0)


def double_a_branch(data: Data) -> None:
    component = data["surface"]["components"][0]
    component["branches"].append(component["branches"][0] | {"draws": component["branches"][0]["draws"][:1]})


def shorten_a_basis(data: Data) -> None:
    data["surface"]["components"][0]["branches"][0]["basis"]["full"].pop()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_a_value, r"every draw must have as many values as the fit of its branch, \d"),
        (drop_draws, r"surface.components.0.branches.0.draws: Tuple should have at least 1 item"),
        (lengthen_all, r"the fit of a \w+ branch must have \d+ values, got \d+"),
        (double_a_branch, r"all branches of a component must have as many draws, got \[1, \d+\]"),
        (shorten_a_basis, r"all methods of a basis must have as many weights"),
        (lambda data: data["surface"]["components"][0].update(branches=[]), r"branches: Tuple should have at least 1"),
        (lambda data: data["surface"].update(reach={}), r"must be those of reach, \[\], got \['full', 'lora:32'\]"),
        (
            lambda data: data["surface"]["reach"].pop("full"),
            r"those of reach, \['lora:32'\], got \['full', 'lora:32'\]",
        ),
        (lambda data: data["surface"]["reach"].update(full=[0, 1]), r"reach.full.0: Input should be greater than 0"),
        (lambda data: data["domain"].pop("full"), r"domain must have the methods of surface.* got \['lora:32'\]"),
        (lambda data: data["table"].update(cells=[]), r"table must have the methods of surface.* got \[\]"),
    ],
)
def test_laws_that_do_not_hang_together_are_one_line(
    laws: Laws, tmp_path: Path, spoil: Callable[[Data], None], message: str
) -> None:
    data = laws.model_dump(mode="json")
    spoil(data)
    path = tmp_path / "laws.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=message) as error:
        Laws.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_file_nested_deeply_is_one_line(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "laws.json"
    path.write_text('{"format_version": 2, "table": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(ConfigError, match=r"laws\.json: ") as error:
        Laws.load(path)
    assert "\n" not in str(error.value)
