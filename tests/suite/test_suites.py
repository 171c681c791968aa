"""Suites by name, as folders, as lists in YAML, and several at once."""

import json
from pathlib import Path

import pytest

from embudget.errors import ModelError
from embudget.suite import SUITES, find_suite
from embudget.suite.suites import suite_beside, suite_entries


@pytest.fixture
def models(tmp_path: Path, tiny_neox: Path) -> Path:
    """A folder of two models, and a torn third."""
    config = json.loads((tiny_neox / "config.json").read_text())
    for name, layers in [("a", 3), ("b", 1), (".b-torn", 2)]:
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    return tmp_path / "models"


def test_a_folder_of_models_is_a_suite(models: Path) -> None:
    assert [shape.layers for shape in find_suite(str(models))] == [1, 3]


def test_several_suites_are_one_by_size_and_name_a_member_once(models: Path) -> None:
    both = find_suite(f"micro, {models}")
    assert {shape.name for shape in both} == {*SUITES["micro"], str(models / "a"), str(models / "b")}
    assert [shape.model_params for shape in both] == sorted(shape.model_params for shape in both)
    assert [entry.name for entry in suite_entries("micro,pythia,micro")] == [*SUITES["micro"], *SUITES["pythia"]]


@pytest.mark.parametrize(
    "text",
    [
        "- models/a\n- ./models/b\n- models/a:2\n- micro-1m\n- EleutherAI/pythia-14m\n",
        "name: mine\nmembers: [models/a, models/b, 'models/a:2', micro-1m, PYTHIA-14m]\n",
    ],
)
def test_a_list_in_yaml_is_a_suite_with_paths_beside_it(
    models: Path, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "family.yaml").write_text(text)
    monkeypatch.chdir(models)  # not where the file lies
    shapes = find_suite(str(tmp_path / "family.yaml"))
    assert {shape.name for shape in shapes} == {
        str(models / "a"), str(models / "b"), f"{models / 'a'}:2", "micro-1m", "pythia-14m",
    }  # fmt: skip
    assert suite_beside(tmp_path, "family.yaml,micro") == f"{tmp_path / 'family.yaml'},micro"
    assert suite_beside(tmp_path, "models") == str(models)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- micro-1m\n- nothing-like-it\n", r"family.yaml: entry 2: model must be a built-in name"),
        ("- ./nowhere\n", r"family.yaml: entry 1: there is no model folder"),
        ("- micro-1m:9\n", r"family.yaml: entry 1: depth of micro-1m must be between 1 and 6, got 9"),
        ("- micro-1m\n- 7\n", r"family.yaml: entry 2: must be a path, a hub id or a built-in name, got 7"),
        ("- micro-1m:x\n", r"family.yaml: entry 1: depth must be a whole number"),
        ("- micro-1m\n- MICRO-1M\n", r"family.yaml: entry 2: micro-1m and MICRO-1M are the same model: name it once"),
        ("- pythia-14m:2\n- EleutherAI/pythia-14m:2\n", r"family.yaml: entry 2: .* are the same model: name it once"),
        ("members: []\n", r"family.yaml: must list members"),
        ("models: [micro-1m]\n", r"family.yaml: a suite has name and members, got models"),
        ("7\n", "family.yaml: must list members"),
        ("- [a\n", "family.yaml: not valid YAML"),
    ],
)
def test_a_bad_list_is_blamed_by_file_and_entry(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "family.yaml").write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        find_suite(str(tmp_path / "family.yaml"))
    assert "\n" not in str(caught.value)


def test_a_folder_under_two_names_is_one_model(models: Path, tmp_path: Path) -> None:
    """Both the members of a study and those of a recipe are refused that count a model twice."""
    (models / "link").symlink_to(models / "a")
    (tmp_path / "family.yaml").write_text("- models/a:2\n- models/link:2\n")
    for look_up in (find_suite, suite_entries):
        with pytest.raises(ModelError, match=r"family.yaml: entry 2: .*/a:2 and .*/link:2 are the same model"):
            look_up(str(tmp_path / "family.yaml"))


def test_suites_that_overlap_in_other_spellings_have_each_model_once(tmp_path: Path) -> None:
    (tmp_path / "family.yaml").write_text("- MICRO-1M\n- EleutherAI/pythia-14m\n")
    both = f"micro,pythia,{tmp_path / 'family.yaml'}"
    assert [entry.name for entry in suite_entries(both)] == [*SUITES["micro"], *SUITES["pythia"]]
    assert {shape.name for shape in find_suite(both)} == {*SUITES["micro"], *SUITES["pythia"]}


def test_a_list_that_is_not_there_or_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none.yaml"):
        find_suite(str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yml").write_bytes(b"\xff\xfe- a")
    with pytest.raises(ModelError, match=r"bad\.yml: not a UTF-8 text file"):
        find_suite(str(tmp_path / "bad.yml"))


def test_unknown_suites_are_refused(tmp_path: Path) -> None:
    for name in ("nothing", str(tmp_path), "micro,nothing", ""):
        with pytest.raises(ModelError, match="suite must be one of smollm2, "):
            find_suite(name)
    with pytest.raises(ModelError, match="separated by single commas as in smollm2,minilm, got 'micro,,pythia'"):
        find_suite("micro,,pythia")
