"""`embudget figures` on built-in laws and on stores, some of them too small for laws."""

from pathlib import Path

import pytest

from embudget.design import World, simulate
from embudget.study import Store
from tests.command_line import Run
from tests.figures.made import LAW


def stored(folder: Path, models: tuple[str, ...], methods: tuple[str, ...], budgets: tuple[float, ...]) -> Path:
    """A store with simulated records."""
    with Store(folder / "study.db") as store:
        for record in simulate(World(truth=dict.fromkeys(methods, LAW), models=models, noise=0.01, budgets=budgets), 0):
            store.add(record)
    return folder / "study.db"


def test_built_in_laws_give_the_figures_asked_for(run: Run, tmp_path: Path) -> None:
    done = run(
        "figures", "smollm2", "--out", tmp_path / "f", "--format", "svg", "--only", "frontier", "--only", "ranks"
    )
    assert done.code == 0, done.err
    assert done.out.split() == [str(tmp_path / "f" / f"{name}.svg") for name in ("frontier", "ranks")]
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["frontier.svg", "ranks.svg"]


def test_a_store_too_small_for_laws_has_its_points_and_says_what_is_left_out(run: Run, tmp_path: Path) -> None:
    store = stored(tmp_path, ("smollm2-135m:1",), ("full",), (1e12,))
    done = run("figures", store, "--out", tmp_path / "f", "--format", "png")
    assert done.code == 0, done.err
    assert "without laws: the law of full needs at least 2 sizes, got 1" in done.err
    assert "left out ranks: the study has no runs of lora" in done.err
    assert (tmp_path / "f" / "frontier.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("nothing.db",), "cannot read nothing.db: no such file"),
        (("micro", "--only", "frontierr"), "only must be one of frontier"),
        (("smollm2", "--only", "isoflop-bias"), "the study has no runs of bias"),
        (("micro", "--format", "jpeg"), "'pdf', 'svg', 'png'"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    run: Run, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run("figures", *options, "--out", tmp_path / "f")
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "f").exists()


def test_a_file_in_the_folders_place_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("notes")
    done = run("figures", "micro", "--out", tmp_path / "f", "--only", "frontier")
    assert done.code == 2
    assert "out must be a folder" in done.err
