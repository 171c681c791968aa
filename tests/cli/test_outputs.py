"""An output is never an input or somebody's file, a link and a device stay what they are, and a refusal comes first."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from embudget.contents import LISTING
from embudget.design import simulate
from embudget.laws import fit
from embudget.pairs import Pairs
from embudget.recipe import recommend
from embudget.runs import write_records_csv
from embudget.study import Store
from tests.command_line import Outcome, Run
from tests.recipe.worlds import NOISY

BUDGET = "--budget=1e13"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each: store, table, laws, recipe, world, study, notes."""
    folder = tmp_path_factory.mktemp("made")
    records = simulate(NOISY, seed=1)
    with Store(folder / "s.db") as store:
        for record in records:
            store.add(record)
    write_records_csv(records, folder / "r.csv")
    laws = fit(records, draws=20)
    laws.save(folder / "l.json")
    recommend(laws, 1e13).save(folder / "recipe.yaml")
    (folder / "w.yaml").write_text(yaml.safe_dump(NOISY.model_dump(mode="json", exclude_none=True)))
    study = {"members": ["micro-200k"], "methods": ["full"], "budgets": [1e9], "pairs": "pairs"}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of a test, with a copy of what was made."""
    place = tmp_path / "here"
    shutil.copytree(made, place)
    monkeypatch.chdir(place)
    yield place


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refused(run: Run, here: Path, *arguments: object) -> str:
    """Run a command that must change nothing and end with one line; return the line."""
    before = contents(here)
    done = run(*arguments)
    assert contents(here) == before
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1 and len(done.err) < 300, done.err
    return done.err


OUTPUTS = {
    "records": ("s.db", ("records", "s.db", "--csv")),
    "report": ("s.db", ("report", "s.db", "--laws", "l.json", "--out")),
    "report laws": ("l.json", ("report", "s.db", "--laws", "l.json", "--out")),
    "report recipe": ("recipe.yaml", ("report", "s.db", "--recipe", "recipe.yaml", "--out")),
    "recipe": ("l.json", ("recipe", "l.json", BUDGET, "--out")),
    "recipe --laws": ("l.json", ("recipe", "--laws", "l.json", BUDGET, "--out")),
    "simulate": ("w.yaml", ("simulate", "w.yaml", "--out")),
    "fit": ("r.csv", ("fit", "r.csv", "--out")),
    "fit store": ("s.db", ("fit", "s.db", "--out")),
    "curve": ("l.json", ("recipe", "l.json", "--curve", "1e12:1e13", "--out")),
}


@pytest.mark.parametrize("spelling", ["plain", "absolute", "around", "link", "hard link"])
@pytest.mark.parametrize("command", OUTPUTS)
def test_an_output_is_no_input_however_it_is_spelled(run: Run, here: Path, command: str, spelling: str) -> None:
    name, arguments = OUTPUTS[command]
    out = Path(name)
    if spelling == "absolute":
        out = here / name
    elif spelling == "around":
        out = Path("..") / here.name / "." / name
    elif spelling == "link":
        out = Path("link")
        out.symlink_to(name)
    elif spelling == "hard link":
        out = Path("hard")
        out.hardlink_to(name)
    assert "is an input of this command" in refused(run, here, *arguments, out)


@pytest.mark.parametrize("store", ["s.db", "sqlite:///s.db", "sqlite:///./s.db?timeout=5"])
@pytest.mark.parametrize("out", ["s.db", "s.db-wal", "s.db-journal", "s.db-shm", "s.db.checkpoints"])
def test_nothing_takes_the_place_of_a_store_and_what_lies_beside_it(run: Run, here: Path, store: str, out: str) -> None:
    assert "is an input of this command" in refused(run, here, "records", store, "--csv", out)
    assert "is an input of this command" in refused(run, here, "report", store, "--laws", "l.json", "--out", out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("records", "s.db", "--csv"),
        ("report", "s.db", "--laws", "l.json", "--out"),
        ("recipe", "l.json", BUDGET, "--out"),
        ("simulate", "w.yaml", "--out"),
        ("fit", "r.csv", "--out"),
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_a_file_is_replaced_by_its_like_alone(run: Run, here: Path, arguments: tuple[str, ...]) -> None:
    """Another store, a study, laws, binary data: each is refused, the same sort and a file of notes are not."""
    sqlite3.connect("other.db").executescript("create table mine (text); insert into mine values ('precious')")
    Path("weights.bin").write_bytes(b"\0\1\2")
    Path("table.csv").write_text("question,answer\na,b\n")
    own = {"records": "r.csv", "report": "page.html", "recipe": "recipe.yaml", "simulate": "r.csv", "fit": "l.json"}
    Path("page.html").write_text("<!DOCTYPE html>")
    mine = own[arguments[0]]
    there = {
        "other.db",
        "weights.bin",
        "study.yaml",
        "w.yaml",
        "l.json",
        "recipe.yaml",
        "r.csv",
        "table.csv",
        "page.html",
    }
    for name in sorted(there - {mine, "table.csv" if mine == "r.csv" else mine}):
        assert ", not to be replaced by " in (line := refused(run, here, *arguments, name)) or "is an input" in line
    for name in ("notes.txt", "new.txt", mine if mine not in arguments else "new.txt"):
        assert run(*arguments, name).code == 0
        assert Path(name).read_text() != "mine"


@pytest.mark.parametrize("out", [".", "..", "/", "", "sub", "./"])
def test_a_folder_is_no_place_for_a_file(run: Run, here: Path, out: str) -> None:
    Path("sub").mkdir()
    line = refused(run, here, "recipe", "l.json", BUDGET, "--out", out)
    assert "out must be a file, got the folder" in line and "name a file in it" in line


@pytest.mark.parametrize("out", ["missing/x.yaml", "notes.txt/x.yaml", "n" * 300, "/proc/x.yaml"])
def test_a_place_that_cannot_be_written_is_refused_first(
    run: Run, here: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embudget.recipe.recommend", lambda *_, **__: pytest.fail("work was done"))
    assert "cannot write" in refused(run, here, "recipe", "l.json", BUDGET, "--out", out)


def test_a_file_may_be_added_to_an_input_folder_but_replaces_none_in_it(run: Run, here: Path, tiny_neox: Path) -> None:
    shutil.copytree(tiny_neox, "suite/small")
    shutil.copytree(tiny_neox, "suite/large")
    recipe = ("recipe", "l.json", BUDGET, "--suite", "suite", "--allow-unmeasured-sizes", "--out")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert "lies in the input suite" in refused(run, here, *recipe, f"suite/small/{name}")
    for _ in range(2):
        done = run(*recipe, "suite/recipe.yaml")
        assert done.code == 0, done.err


def test_a_curve_replaces_a_curve_and_nothing_else(run: Run, here: Path) -> None:
    curve = ("recipe", "l.json", "--curve", "1e12:1e13", "--points-per-decade", 1, "--out")
    for out in (".", "..", "/", str(here)):
        line = refused(run, here, *curve, out)
        assert "in which you are: name a folder in it" in line
    assert "out must be a folder, got the file notes.txt" in refused(run, here, *curve, "notes.txt")
    Path("sub").mkdir()
    shutil.copy("l.json", "sub/laws.json")
    line = refused(run, here, "recipe", "sub/laws.json", "--curve", "1e12:1e13", "--out", "sub")
    assert "sub holds the input sub/laws.json" in line
    assert "holds other files, such as laws.json" in refused(run, here, *curve, "sub")
    for _ in range(2):
        assert run(*curve, "curve").code == 0
    assert {path.name for path in Path("curve").iterdir()} == {"curve.json", "curve.csv", "curve.html", LISTING}
    assert "not to be replaced" in refused(run, here, "recipe", "l.json", BUDGET, "--out", "curve/curve.csv")
    Path("curve/curve.csv").write_text("my notes")
    assert "curve/curve.csv was changed since" in refused(run, here, *curve, "curve")


def test_links_and_devices_stay_what_they_are(run: Run, here: Path) -> None:
    Path("real").mkdir()
    for name in ("there", "dangling"):
        Path(name).symlink_to(f"real/{name}")
    Path("real/there").write_text("old")
    for out in ("there", "dangling", "/dev/null"):
        assert run("recipe", "l.json", BUDGET, "--out", out).code == 0
    assert Path("there").is_symlink() and Path("dangling").is_symlink()
    assert Path("real/there").read_text() == Path("real/dangling").read_text()
    assert yaml.safe_load(Path("there").read_text())["method"]
    assert Path("/dev/null").is_char_device()
    full = run("recipe", "l.json", BUDGET, "--out", "/dev/full")
    assert (full.code, full.err) == (2, "embudget: cannot write /dev/full: No space left on device\n")
    Path("curves").mkdir()
    Path("curve").symlink_to("curves")
    assert run("recipe", "l.json", "--curve", "1e12:1e13", "--out", "curve").code == 0
    assert Path("curve").is_symlink() and Path("curves/curve.json").exists()


def test_a_model_is_not_written_over_its_start_or_its_data(
    run: Run, here: Path, tiny_neox: Path, tiny_pairs: Pairs
) -> None:
    shutil.copytree(tiny_neox, "m")
    shutil.copytree(tiny_pairs.folder, "pairs")
    Path("link").symlink_to("m")
    for model in ("./m", "m/", "m:2", str(here / "m"), "link"):
        train = ("train", "--model", model, "--method", "full", "--budget", "1e8", "--out")
        for out in ("m", "./m/", here / "m", "link", "pairs"):
            assert "is an input of this command" in refused(run, here, *train, out)
    assert f"m/tuned lies in the input {here / 'm'}: name" in refused(run, here, *train, "m/tuned")
    assert "in which you are" in refused(run, here, *train, ".")
    assert "lies in the input pairs" in refused(run, here, *train, "pairs/model")
    assert "recipe.yaml is an input" in refused(run, here, "train", "recipe.yaml", "--out", "recipe.yaml")
    Path("out").mkdir()
    shutil.copy("recipe.yaml", "out")
    assert "out holds the input out/recipe.yaml" in refused(run, here, "train", "out/recipe.yaml", "--out", "out")
    assert "holds other files, such as recipe.yaml" in refused(run, here, *train, "out")


def test_checkpoints_of_a_sweep_have_a_folder_of_their_own(run: Run, here: Path, tiny_pairs: Pairs) -> None:
    shutil.copytree(tiny_pairs.folder, "pairs")
    sweep = ("sweep", "study.yaml", "--store", "new.db", "--checkpoints")
    assert "is an input" in refused(run, here, *sweep, "study.yaml")
    assert "is an input" in refused(run, here, *sweep, "pairs")
    assert "lies in the input pairs" in refused(run, here, *sweep, "pairs/checkpoints")
    assert "must be a folder, got the file notes.txt" in refused(run, here, *sweep, "notes.txt")
    for store in ("study.yaml", "pairs", "pairs/train.parquet", "l.json"):
        refused(run, here, "sweep", "study.yaml", "--store", store)


def test_pairs_are_not_built_over_their_source(run: Run, here: Path, tiny_pairs: Pairs) -> None:
    shutil.copytree(tiny_pairs.folder, "pairs")
    build = ("pairs", "build", "--tokenizer", "micro-200k", "--out")
    assert "pairs holds the input" in refused(run, here, *build, "pairs", "files:pairs/train.parquet")
    assert "is an input" in refused(run, here, *build, "pairs/train.parquet", "files:pairs")
    Path("data").mkdir()
    Path("data/pairs.json").write_text(json.dumps([{"query": "mine", "positive": "mine"}]))
    assert "data/pairs.json" in refused(run, here, *build, "data", "files:pairs/train.parquet")


def test_changed_pairs_are_not_replaced(run: Run, here: Path, tiny_pairs: Pairs) -> None:
    shutil.copytree(tiny_pairs.folder, "pairs")
    shutil.copy("pairs/validation.parquet", "pairs/train.parquet")
    source = tiny_pairs.folder.parent / "made.jsonl"
    line = refused(run, here, "pairs", "build", f"files:{source}", "--out", "pairs", "--limit", 900)
    assert "pairs/train.parquet was changed since" in line


@pytest.mark.parametrize("name", ["laws.json", "recipe.yaml", "evaluation.json", "pairs", "model", "members.yaml"])
def test_a_quickstart_touches_no_folder_of_somebody(run: Run, here: Path, name: str) -> None:
    Path("mine").mkdir()
    (Path("mine") / name).write_text("precious")
    assert f"mine holds {name}, and no start.json" in refused(run, here, "quickstart", "--out", "mine")


def test_what_is_written_has_the_modes_of_the_umask(run: Run, here: Path) -> None:
    before = os.umask(0o027)
    try:
        done: list[Outcome] = [
            run("recipe", "l.json", BUDGET, "--out", "new.yaml"),
            run("records", "s.db", "--csv", "new.csv"),
            run("recipe", "l.json", "--curve", "1e12:1e13", "--out", "curve"),
        ]
    finally:
        os.umask(before)
    assert [one.code for one in done] == [0, 0, 0]
    files = [Path("new.yaml"), Path("new.csv"), *Path("curve").iterdir()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}
    assert Path("curve").stat().st_mode & 0o777 == 0o750
