"""The commands that take laws take built-in ones by name, and then say what these were measured on."""

import json
from pathlib import Path

import pytest

from embudget.design import World, simulate
from embudget.laws import Coefficients, builtin, fit
from embudget.study import Store
from tests.command_line import Run

WORLD = World(
    truth={"full": Coefficients(E=0.5, A=3000, a=0.4, B=1e-6, b=1)},
    models=("smollm2-135m:1", "smollm2-135m:2"),
    noise=0.01,
)
ORIGIN = (
    "tiny, built in: measured on 2 models from smollm2-135m:1 to smollm2-135m:2; by full; with 1e+12 to 1.6e+13 FLOP"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laws")
    fit(simulate(WORLD), draws=20, forms=["chinchilla"]).save(folder / "tiny.json")
    return folder


@pytest.fixture(autouse=True)
def folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of built-in laws; the working folder is another."""
    monkeypatch.setattr(builtin, "FOLDER", saved)
    monkeypatch.chdir(tmp_path)
    return saved


def test_a_recipe_from_built_in_laws_says_where_they_come_from(run: Run, folder: Path) -> None:
    named = run("recipe", "--laws", "tiny", "--budget", "4e12")
    assert (named.code, named.err) == (0, "")
    from_file = run("recipe", folder / "tiny.json", "--budget", "4e12")
    rest, _, origin = named.out.removesuffix("\n").rpartition("\n")
    assert f"{rest}\n" == from_file.out
    assert origin.startswith(f"  laws      {ORIGIN}; on the pairs ")
    assert origin.endswith(" tokens")
    assert run("recipe", "tiny", "--budget", "4e12") == named
    assert run("recipe", "--laws", folder / "tiny.json", "--budget", "4e12") == from_file


def test_json_is_the_same_with_built_in_laws(run: Run, folder: Path) -> None:
    for command in (("recipe", "--budget", "4e12"), ("recipe", "--curve", "1e12:1e13"), ("explain",)):
        outcomes = [run(command[0], laws, *command[1:], "--json") for laws in ("tiny", folder / "tiny.json")]
        assert outcomes[0] == outcomes[1]
        assert (outcomes[0].code, outcomes[0].err) == (0, "")
        json.loads(outcomes[0].out)


def test_a_curve_and_the_findings_say_it_too(run: Run) -> None:
    curve = run("recipe", "--laws", "tiny", "--curve", "1e12:1e13", "--points-per-decade", 1)
    assert [line for line in curve.out.splitlines() if line.startswith(f"laws      {ORIGIN}")]
    assert run("explain", "tiny").out.splitlines()[-1].startswith(f"laws: {ORIGIN}")


def test_a_report_takes_built_in_laws(run: Run, tmp_path: Path) -> None:
    with Store(str(tmp_path / "study.db")) as store:
        for record in simulate(WORLD):
            store.add(record)
    code, out, err = run("report", "study.db", "--laws", "tiny")
    assert (code, err) == (0, "")
    assert out.startswith(f"laws: {ORIGIN}")
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipe", "--budget", "4e12"], "give the laws, a file or the name of built-in ones, as the argument or by"),
        (["recipe", "tiny", "--laws", "tiny", "--budget", "4e12"], "either as the argument or by --laws, not both"),
        (["recipe", "--laws", "tinny", "--budget", "4e12"], "the built-in laws are tiny; did you mean tiny?"),
        (["explain", "tinny"], "the built-in laws are tiny; did you mean tiny?"),
    ],
)
def test_bad_laws_are_one_line(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
