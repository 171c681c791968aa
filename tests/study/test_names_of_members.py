"""A member has one name in a study, however it is written, and suites of base models and retrievers are mixed."""

from pathlib import Path

import pytest

from embudget.errors import ModelError
from embudget.study.members import beside, members_by_shape, members_of
from embudget.suite.suites import Entry, suite_entries


def test_hub_ids_are_the_names_of_built_in_members() -> None:
    found = members_by_shape(map(Entry, ["EleutherAI/pythia-14m:2", "MICRO-1M", "intfloat/e5-small-v2"]), None)
    assert [member.shape.name for member in found] == ["pythia-14m:2", "micro-1m", "e5-small-v2"]


def test_two_spellings_of_one_member_are_refused() -> None:
    with pytest.raises(ModelError, match="members micro-1m and Micro-1M are the same model: name it once"):
        members_of(map(Entry, ["micro-1m", "Micro-1M"]), None)


def test_base_models_and_retrievers_are_mixed_by_size() -> None:
    found = members_by_shape(suite_entries("smollm2,minilm"), None)
    assert {member.shape.lineage for member in found} == {"smollm2", "minilm retriever"}
    sizes = [member.shape.model_params for member in found]
    assert sizes == sorted(sizes) and len(sizes) == 14


def test_suites_of_a_study_are_beside_its_file(tmp_path: Path) -> None:
    (tmp_path / "family.yaml").write_text("- micro-1m\n")
    assert beside(tmp_path, {"suite": "micro,family.yaml"}) == {"suite": f"micro,{tmp_path / 'family.yaml'}"}
