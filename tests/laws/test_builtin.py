"""Laws by the path of a file or by the name of built-in ones."""

import re
import tomllib
from pathlib import Path

import pytest

import embudget
from embudget.design import World, simulate
from embudget.errors import ConfigError
from embudget.laws import Coefficients, Laws, builtin, builtin_names, describe_origin, find_laws, fit
from embudget.suite import loading

TRUTH = {
    "full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
    "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
}
MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=3, forms=["multiplicative"])


@pytest.fixture(autouse=True)
def folder(laws: Laws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of built-in laws, away from the working folder."""
    inside, outside = tmp_path / "package", tmp_path / "work"
    inside.mkdir()
    outside.mkdir()
    for name in ("smollm2", "micro"):
        laws.save(inside / f"{name}.json")
    monkeypatch.setattr(builtin, "FOLDER", inside)
    monkeypatch.chdir(outside)
    return inside


def test_laws_are_found_by_name_or_path(laws: Laws, folder: Path) -> None:
    assert builtin_names() == ("micro", "smollm2")
    assert find_laws("smollm2") == find_laws(folder / "micro.json") == embudget.find_laws(Path("micro")) == laws


def test_a_file_wins_over_the_built_in_laws_of_its_name() -> None:
    Path("smollm2").write_text("{}")
    with pytest.raises(ConfigError, match="smollm2: not a file of laws"):
        find_laws("smollm2")


def test_a_folder_is_no_file_of_laws(laws: Laws) -> None:
    Path("smollm2").mkdir()
    Path("other").mkdir()
    assert find_laws("smollm2") == laws
    with pytest.raises(ConfigError, match="cannot read other: it is a folder"):
        find_laws("other")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("SmolLM", "cannot read SmolLM: no such file, and the built-in laws are micro, smollm2; did you mean smollm2?"),
        ("smollm2.json", "smollm2.json: no such file, and the built-in laws are micro, smollm2; did you mean smollm2?"),
        ("runs/laws.json", "cannot read runs/laws.json: no such file, and the built-in laws are micro, smollm2"),
        ("../package/smollm2", "no such file, and the built-in laws are micro, smollm2"),
        ("s" * 5000, "File name too long"),
    ],
)
def test_a_wrong_name_lists_the_right_ones(wanted: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        find_laws(wanted)
    assert "\n" not in str(error.value)
    assert ("did you mean" in str(error.value)) == ("did you mean" in message)


def test_without_built_in_laws_the_error_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "FOLDER", folder / "none")
    with pytest.raises(ConfigError, match=r"cannot read smollm2: no such file, and there are no built-in laws$"):
        find_laws("smollm2")


def test_the_origin_is_read_from_the_laws(laws: Laws) -> None:
    assert laws.table.pairs
    assert describe_origin("smollm2", laws) == (
        "smollm2, built in: measured on 3 models from smollm2-135m:1 to smollm2-135m:12; by full, lora:32; "
        f"with 1e+12 to 1.6e+13 FLOP; on the pairs {laws.table.pairs}; texts of at most {laws.table.max_length} tokens"
    )
    Path("smollm2").write_text("{}")
    assert describe_origin("smollm2", laws) is None
    assert describe_origin("laws.json", laws) is None


def test_the_origin_leaves_out_what_a_table_does_not_know(laws: Laws) -> None:
    bare = laws.model_copy(update={"table": laws.table.model_copy(update={"pairs": None, "max_length": None})})
    assert (describe_origin("micro", bare) or "").endswith("; with 1e+12 to 1.6e+13 FLOP")


def test_what_ships_is_declared_and_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    package = Path(embudget.__file__).parent
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = pyproject["tool"]["setuptools"]["package-data"]["embudget"]
    assert f"{builtin.FOLDER.relative_to(package).as_posix()}/*.json" in declared
    models = loading.BUILTIN.relative_to(package).as_posix()
    assert {f"{models}/*", f"{models}/*/*"} <= set(declared)
    for name in builtin_names():
        table = find_laws(builtin.FOLDER / f"{name}.json").table
        assert None not in (table.pairs, table.max_length), name
