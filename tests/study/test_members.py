"""Members of a study: found beside its file, known by their weights, and the bad ones left out in one line each."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from embudget.errors import ModelError
from embudget.pairs import Pairs
from embudget.study import Study, plan, sweep
from embudget.training.job import Job
from tests.command_line import Run
from tests.study.executing import executed
from tests.suite.test_checks import BAD


def values(pairs: Pairs, *members: object, **changes: object) -> dict[str, object]:
    return {
        "members": [str(member) for member in members],
        "methods": ["full"],
        "budgets": [2e9],
        "pairs": str(pairs.folder),
        "batch_size": 8,
        "max_length": 32,
        "min_steps": 1,
        "eval_pairs": 16,
        "eval_candidates": 16,
    } | changes


def study_of(pairs: Pairs, *members: object, **changes: object) -> Study:
    return Study.read(values(pairs, *members, **changes), "study.yaml")


def nudge(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    next(weight for name, weight in sorted(weights.items()) if name.endswith("bias"))[0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def mine(tmp_path: Path, tiny_neox: Path) -> Path:
    shutil.copytree(tiny_neox, tmp_path / "models" / "mine")
    return tmp_path / "models" / "mine"


def test_other_weights_in_the_same_folder_are_another_run(mine: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    study = study_of(tiny_pairs, mine)
    (first,) = sweep(study, tmp_path / "s.db")
    assert [one.id for one in sweep(study, tmp_path / "s.db")] == [first.id]
    nudge(mine)
    (second,) = sweep(study, tmp_path / "s.db")
    assert second.id != first.id and second.loss != first.loss
    assert second.config.weights != first.config.weights


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_so_are_another_tokenizer_and_configuration(mine: Path, tiny_pairs: Pairs, name: str) -> None:
    (before,) = study_of(tiny_pairs, mine).configs(tiny_pairs.hash)
    (mine / name).write_text((mine / name).read_text() + " ")
    (after,) = study_of(tiny_pairs, mine).configs(tiny_pairs.hash)
    assert before.id != after.id


def test_a_study_that_is_moved_keeps_its_records(mine: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    members = [f"{mine}:2", mine]
    before = [config.id for config in study_of(tiny_pairs, *members).configs(tiny_pairs.hash)]
    (tmp_path / "elsewhere").mkdir()
    there = mine.rename(tmp_path / "elsewhere" / "run:3")
    after = [config.id for config in study_of(tiny_pairs, f"{there}:2", f"{there}:4").configs(tiny_pairs.hash)]
    assert before[0] == after[0] and len({*before, *after}) == 3
    again = there.rename(tmp_path / "back")
    assert before == [c.id for c in study_of(tiny_pairs, f"{again}:2", again).configs(tiny_pairs.hash)]


def test_a_model_named_twice_is_said_to_be(mine: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(mine)
    for other in (f"{mine}/", tmp_path / "link", shutil.copytree(mine, tmp_path / "copy")):
        with pytest.raises(ModelError, match="are the same model: name it once"):
            study_of(tiny_pairs, mine, other).configs(tiny_pairs.hash)
    assert len(study_of(tiny_pairs, mine, f"{mine}:2").configs(tiny_pairs.hash)) == 2


def test_folders_are_relative_to_the_study(
    mine: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(mine, tmp_path / "micro-200k")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = tmp_path / "study.yaml"
    also = [{"members": ["models/mine:3"]}, {"suite": "./models"}]
    file.write_text(yaml.safe_dump(values(tiny_pairs, "models/mine:2", "./micro-200k", "micro-200k", also=also)))
    grids = Study.from_yaml(file).grids()
    names = [{shape.name for shape in grid.shapes()} for grid in grids]
    assert names[0] == {"micro-200k", str(tmp_path / "micro-200k"), f"{mine}:2"}
    assert names[1:] == [{f"{mine}:3"}, {str(mine)}]
    monkeypatch.chdir(tmp_path)
    assert [{shape.name for shape in grid.shapes()} for grid in Study.from_yaml("study.yaml").grids()] == names
    file.write_text(yaml.safe_dump(values(tiny_pairs, "../nothing")))
    with pytest.raises(ModelError, match=r"there is no model folder "):
        Study.from_yaml(file).configs(tiny_pairs.hash)


def test_the_others_go_on_where_a_member_is_bad(
    mine: Path, tiny_pairs: Pairs, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("NaN", "vision"):
        shutil.copytree(mine, tmp_path / "models" / name)
    BAD["vision"][0](tmp_path / "models" / "vision")
    weights = load_file(tmp_path / "models" / "NaN" / "model.safetensors")
    weights["gpt_neox.final_layer_norm.weight"][0] = torch.nan
    save_file(weights, tmp_path / "models" / "NaN" / "model.safetensors", metadata={"format": "pt"})
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({**values(tiny_pairs), "members": [], "suite": "models"}))
    planned = plan(Study.from_yaml(file), tiny_pairs)
    assert sorted(Path(name).name for name in planned.refused) == ["NaN", "vision"]
    assert {one.config.model for one in planned.runs} == {str(mine)}
    result = run("sweep", str(file), "--store", str(tmp_path / "s.db"))
    assert result.code == 1
    assert "1 runs done" in result.out
    assert [line.split(":")[0] for line in result.out.splitlines()].count("left out") == 2
    shutil.rmtree(mine)
    with pytest.raises(ModelError, match=r"\(and 1 more members that cannot be trained\)$"):
        plan(Study.from_yaml(file), tiny_pairs)


@pytest.mark.parametrize("listed", [False, True], ids=["members", "a list in YAML"])
def test_the_others_go_on_where_the_hub_does_not_give_a_member(
    listed: bool, mine: Path, tiny_pairs: Pairs, tmp_path: Path, run: Run
) -> None:
    """Both a model that only the hub knows, and a built-in one whose weights it does not give, offline as all tests."""
    names = ["models/mine", "nobody/nothing:2", "EleutherAI/pythia-14m"]
    (tmp_path / "family.yaml").write_text(yaml.safe_dump(names))
    named = {"members": [], "suite": "family.yaml"} if listed else {"members": names}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({**values(tiny_pairs), **named}))
    planned = plan(Study.from_yaml(file), tiny_pairs)
    assert {one.config.model for one in planned.runs} == {str(mine)}
    assert set(planned.refused) == set(names[1:])
    for place, name in enumerate(names[1:], start=2):
        where = rf"{file.parent / 'family.yaml'}: entry {place}: " if listed else ""
        reason = f"{where}{name.partition(':')[0]} is neither a folder nor can it be read from the hub: "
        assert planned.refused[name].startswith(reason)
    result = run("sweep", str(file), "--store", str(tmp_path / "s.db"))
    assert result.code == 1
    assert [line.split(":")[0] for line in result.out.splitlines()].count("left out") == 2


def test_a_slip_in_a_list_stops_the_study_by_file_and_entry(tiny_pairs: Pairs, tmp_path: Path) -> None:
    (tmp_path / "family.yaml").write_text("- micro-200k\n- mikro-200k\n")
    study = Study.read({**values(tiny_pairs), "members": [], "suite": str(tmp_path / "family.yaml")}, "study.yaml")
    for identified in (True, False):
        with pytest.raises(ModelError, match=r"family.yaml: entry 2: model must be a built-in name"):
            study.runs(tiny_pairs, identified=identified)


def test_weights_that_change_before_their_run_end_it_alone(mine: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    other = tmp_path / "models" / "other"
    shutil.copytree(mine, other)
    nudge(other)
    first, second = study_of(tiny_pairs, mine, other).configs(tiny_pairs.hash)
    Job.of(first, tiny_pairs)
    nudge(other)
    changed, same = sorted((first, second), key=lambda config: config.model != str(other))
    with pytest.raises(ModelError, match=r"the weights of .*other are not those that the run was made for") as caught:
        Job.of(changed, tiny_pairs)
    assert "\n" not in str(caught.value)
    Job.of(same, tiny_pairs)


def test_texts_longer_than_a_members_positions_leave_it_out(mine: Path, tiny_pairs: Pairs) -> None:
    planned = plan(study_of(tiny_pairs, mine, "smollm2-135m:1", max_length=129), tiny_pairs)
    assert [one.reason for one in planned.left_out if one.config.model == str(mine)] == [
        "max_length must be <= 128 for this model, got 129"
    ]


def test_a_model_that_fails_late_fails_its_own_runs(mine: Path, tiny_pairs: Pairs) -> None:
    (config,) = study_of(tiny_pairs, mine).configs(tiny_pairs.hash)
    nudge(mine)
    (record,) = executed((config,), tiny_pairs.folder)
    assert record.status == "failed" and "are not those that the run was made for" in (record.error or "")
