"""`embudget compare`, `agree` and the losses with their errors that `records` and `sweep` show."""

import json
from pathlib import Path

import numpy as np
import pytest

from embudget.cli.sweep_bar import label, outcome
from embudget.records import RunRecord
from embudget.study import Store
from embudget.yardstick import loss_error
from tests.command_line import Run
from tests.comparison.made import made

KINDS = {"full": 3.0, "freeze:0.5": 3.3, "lora:8": 3.01}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three methods with three seeds each; freezing is clearly worse than full, LoRA is not to be told from it."""
    rng = np.random.default_rng(4)
    with Store(tmp_path / "study.db") as opened:
        for method, loss in KINDS.items():
            for seed in range(3):
                opened.add(made(loss, seed=seed, own=0.1, luck=0.01, rng=rng, method=method))
    return tmp_path / "study.db"


def records_of(store: Path) -> list[RunRecord]:
    with Store(store, create=False) as opened:
        return opened.records()


def test_it_says_whether_a_difference_is_more_than_noise(run: Run, store: Path) -> None:
    code, out, err = run("compare", store, "smollm2-135m:2/freeze:0.5", "smollm2-135m:2/full")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("A  smollm2-135m:2 freeze:0.5, rate 0.001, 3 seeds: 3.")
    assert "More than noise: equal models differ by up to" in out
    assert "No more than noise" in run("compare", store, "smollm2-135m:2/lora:8", "smollm2-135m:2/full").out


def test_as_json_it_has_the_numbers(run: Run, store: Path) -> None:
    out = run("compare", store, "smollm2-135m:2/freeze:0.5@1e12", "smollm2-135m:2/full", "--json").out
    (found,) = json.loads(out)["budgets"]
    assert found["loss"]["difference"] == pytest.approx(0.3, abs=0.1)
    assert (found["groups"], found["first"]["seeds"], found["loss"]["more_than_noise"]) == (60, 3, True)


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (("zz", "smollm2-135m:2/full"), "no run's id begins with zz"),
        (("smollm2-135m:2/full@9e12", "smollm2-135m:2/lora:8"), "has no run at 9e+12 FLOP"),
        (("smollm2-135m:2/full", "smollm2-135m:2/bias"), "no run of smollm2-135m:2 by bias"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(
    run: Run, store: Path, sides: tuple[str, str], said: str
) -> None:
    code, out, err = run("compare", store, *sides)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_store_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    for command in (("compare", tmp_path / "no.db", "a", "b"), ("agree", tmp_path / "no.db")):
        code, _, err = run(*command)
        assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "no.db").exists()


def test_records_show_each_loss_with_its_error_and_the_id_to_compare_by(run: Run, store: Path) -> None:
    out, records = run("records", store).out, records_of(store)
    for record in records:
        assert f"{record.loss:.3f} ± {loss_error(record.groups):.3f}" in out
    ids = [line.split()[-1] for line in out.splitlines()[1:]]
    assert ids == [record.id[:8] for record in records]
    assert run("compare", store, ids[0], ids[3]).code == 0


def test_older_records_show_the_loss_alone(run: Run, tmp_path: Path) -> None:
    with Store(tmp_path / "old.db") as opened:
        opened.add(made(3.0).model_copy(update={"groups": {}}))
    (record,) = records_of(tmp_path / "old.db")
    out = run("records", tmp_path / "old.db").out
    assert f"{record.loss:.4f}" in out
    assert "±" not in out
    _, _, err = run("compare", tmp_path / "old.db", record.id, record.id)
    assert "measured before losses were kept by group" in err


def test_a_sweep_says_each_loss_with_its_error() -> None:
    record = made(3.0)
    assert outcome(record).startswith(f"loss {record.loss:.3f} ± {loss_error(record.groups):.3f} (chance ")


def test_agreement_is_printed_with_its_verdict(run: Run, store: Path) -> None:
    code, out, _ = run("agree", store)
    assert code == 0
    assert out.startswith("held-out nDCG@10, 9 models: Spearman -")
    assert "REPRODUCED: 8. A lower contrastive loss" in out
    found = json.loads(run("agree", store, "--json").out)
    assert found["finding"]["verdict"] == "reproduced"
    assert found["tasks"][0]["budgets"][0]["models"] == 9


def test_records_show_what_else_differs(run: Run, tmp_path: Path) -> None:
    """Rows of a study over negatives and lengths would else look the same."""
    records = [made(3.0 + k / 10, negatives=k, max_length=32 + k, yardstick=("groups", "first")[k]) for k in (0, 1)]
    with Store(str(tmp_path / "s.db")) as opened:
        for record in records:
            opened.add(record)
    header, *rows = run("records", tmp_path / "s.db").out.splitlines()
    assert header.split()[4:8] == ["seed", "negatives", "max_length", "yardstick"]
    assert [row.split()[5:8] for row in rows] == [["0", "32", "groups"], ["1", "33", "first"]]
    assert "seed 0 negatives 1 max_length 33" in label(records[1].config)
