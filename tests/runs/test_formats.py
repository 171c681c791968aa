"""Files of runs in the forms that people have them in: what parts columns, JSON Lines, other formats and units."""

import json
from pathlib import Path

import pytest

from embudget.errors import ConfigError, TooFewRunsError
from embudget.runs import Cell, RunTable
from tests.runs.tables import records

ROWS = [(1e7, 5e8, 2.5), (2e7, 5e8, 2.25), (4e7, 5e8, 2.125)]
NAMES = ("model_params", "tokens", "loss")


def as_csv(path: Path) -> tuple[Cell, ...]:
    path.write_text("\n".join([",".join(NAMES), *(",".join(map(repr, row)) for row in ROWS)]))
    return RunTable.read(path).cells


@pytest.mark.parametrize(("ending", "separator"), [(".csv", ";"), (".csv", "\t"), (".tsv", "\t"), (".tsv", ";")])
def test_columns_may_be_parted_by_semicolons_and_tabs(tmp_path: Path, ending: str, separator: str) -> None:
    path = tmp_path / f"runs{ending}"
    header = separator.join((*NAMES, '"a, b, or c"'))  # the commas of one name part nothing
    lines = [header, *(separator.join((*map(repr, row), "1,2,3")) for row in ROWS)]
    path.write_text("\ufeff" + "\r\n".join(lines))
    assert RunTable.read(path).cells == as_csv(tmp_path / "plain.csv")


def test_decimal_commas_are_refused_with_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("model_params;tokens;loss\n1e7;5e8;2,5\n")
    with pytest.raises(ConfigError, match="row 1: loss must be a number, got '2,5'; write numbers with a point"):
        RunTable.read(path)
    path.write_text('model_params,tokens,loss\n"10,000,000",5e8,2.5\n')
    with pytest.raises(ConfigError, match="row 1: model_params must be a number, got '10,000,000'; write numbers with"):
        RunTable.read(path)


def test_json_lines_are_the_table_of_the_same_csv(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    lines = [json.dumps(dict(zip(NAMES, row, strict=True)) | {"note": {"any": [1]}}) for row in ROWS]
    lines.insert(1, "")
    path.write_text("\n".join(lines))
    assert RunTable.read(path).cells == as_csv(tmp_path / "plain.csv")


def test_json_lines_may_lack_names_and_hold_nan_and_numbers_as_text(tmp_path: Path) -> None:
    path = tmp_path / "runs.ndjson"
    first, second, third = (dict(zip(NAMES, row, strict=True)) for row in ROWS)
    lost = {"model_params": 1e7, "tokens": 1e9}
    rows = [first | {"seed": None}, second | {"loss": "2.25", "seed": 1}, third | {"loss": float("nan")}, lost]
    path.write_text("\n".join(map(json.dumps, rows)))
    table = RunTable.read(path)
    assert [cell.loss for cell in table.cells] == [2.5, 2.25]
    assert table.listed == ("row 3: loss is nan", "row 4: loss is missing")


def test_json_lines_of_records_are_the_table_of_the_records(tmp_path: Path) -> None:
    """Their configuration lies one level deeper; read as a flat table all would be full fine-tuning."""
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(record.model_dump_json() for record in records()))
    assert RunTable.read(path) == RunTable.of(records())
    with pytest.raises(ConfigError, match="holds records of embudget, whose names are ours: leave --columns out"):
        RunTable.read(path, {"loss": "loss"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("[1, 2]\n", "line 1: must hold one JSON object, got a list"),
        ('{"loss": 1}\n{"loss": \n', "line 2: not valid JSON: "),
        ('{"loss": 1, "loss": 2}', "line 1: not valid JSON: loss is there twice in one object"),
        ('{"loss": 1, "tokens": 1, "model_params": [1]}', "row 1: model_params must be a number or a text, got .1."),
        ('{"loss": true, "tokens": 1, "model_params": 1}', "row 1: loss must be a number or a text, got true"),
        ('{"loss": 1, "tokens": 1, "model_params": "7B"}', "row 1: model_params must be a number, got '7B'"),
        ('{"loss": 1, "tokens": 1}', "column model_params is missing .there are: loss, tokens"),
        ('{"config": {}, "status": "done"}', "row 1: config.model"),
        ("[" * 100_000, "line 1: not valid JSON"),
    ],
)
def test_broken_json_lines_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"^{path}: {message}") as error:
        RunTable.read(path)
    assert "\n" not in str(error.value)


def test_a_factor_brings_a_column_to_our_unit(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("millions,GT,eval/loss\n10,0.5,3.6067376\n20,0.5,3.2460639\n40,0.5,3.0657270\n")
    table = RunTable.read(
        path, {"model_params": "millions*1e6", "tokens": "GT * 1e9", "loss": "eval/loss / 1.44269504"}
    )
    expected = as_csv(tmp_path / "plain.csv")
    for name in ("model_params", "tokens", "train_flops", "loss"):
        values = [[getattr(cell, name) for cell in cells] for cells in (table.cells, expected)]
        assert values[0] == pytest.approx(values[1], rel=1e-6)
    plain = RunTable.read(path, {"model_params": "millions", "tokens": "GT", "loss": "eval/loss"})
    assert plain.cells[0].loss == 3.6067376  # a column whose name has a slash is that column


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("val*-1", r"the factor in loss=val\*-1 must be finite and > 0, got -1"),
        ("val*0", r"the factor in loss=val\*0 must be finite and > 0, got 0"),
        ("val/0", r"the factor in loss=val/0 must be finite and > 0, got 0"),
        ("val*inf", r"the factor in loss=val\*inf must be finite and > 0, got inf"),
        ("val*nan", r"the factor in loss=val\*nan must be finite and > 0, got nan"),
        ("val*two", r"the factor in loss=val\*two must be a number, got 'two'"),
        ("val*", r"the factor in loss=val\* must be a number, got ''"),
        ("bits*0.6931", r"there is no column 'bits' for loss .there are: model_params, tokens, val, name."),
        ("eval/loss", r"there is no column 'eval/loss' for loss"),
    ],
)
def test_a_factor_that_is_none_is_refused(tmp_path: Path, written: str, message: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("model_params,tokens,val,name\n1e7,5e8,2.5,a\n")
    with pytest.raises(ConfigError, match=f"^{path}: {message}") as error:
        RunTable.read(path, {"loss": written})
    assert "\n" not in str(error.value)


def test_a_text_takes_no_factor(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("model_params,tokens,loss,name\n1e7,5e8,2.5,a\n")
    with pytest.raises(ConfigError, match=r"model is a text and takes no factor, got model=name\*2"):
        RunTable.read(path, {"model": "name*2"})


def test_a_factor_beyond_the_range_of_numbers_leaves_the_rows_out(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("model_params,tokens,loss\n1e7,5e8,2.5\n1e7,5e7,2.5\n")
    with pytest.raises(TooFewRunsError, match="2 whose tokens is infinite"):
        RunTable.read(path, {"tokens": "tokens*1e305"})
