"""`embudget explain` prints a paragraph a finding, or JSON."""

import json
from pathlib import Path

import pytest

from embudget.design import World, simulate
from embudget.laws import Coefficients, fit
from tests.command_line import Run


@pytest.fixture
def laws(tmp_path: Path) -> Path:
    truth = {
        "full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
        "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
    }
    models = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
    fit(simulate(World(truth=truth, models=models)), draws=20).save(tmp_path / "laws.json")
    return tmp_path / "laws.json"


def test_a_paragraph_for_each_finding_with_the_verdict_first(run: Run, laws: Path) -> None:
    code, out, err = run("explain", laws)
    assert (code, err) == (0, "")
    paragraphs = out.strip().split("\n\n")
    assert [paragraph.split(": ")[1].partition(".")[0] for paragraph in paragraphs] == list("1234567")
    assert all(p.split(": ")[0] in ("REPRODUCED", "NOT REPRODUCED", "UNDETERMINED") for p in paragraphs)
    assert "The study has no runs of bias-only tuning." in " ".join(paragraphs[4].split())


def test_json_holds_the_same(run: Run, laws: Path) -> None:
    findings = json.loads(run("explain", laws, "--json").out)
    assert [finding["number"] for finding in findings] == [1, 2, 3, 4, 5, 6, 7]
    assert {"statement", "verdict", "share", "numbers", "why", "claims"} < findings[0].keys()
    assert (findings[4]["verdict"], findings[4]["share"]) == ("undetermined", None)
    assert all(0 <= claim["holds"] + claim["fails"] <= 1 for claim in findings[0]["claims"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), ("{", "not valid JSON"), ("{}", "not a file of laws"), ('{"format_version": 99}', "newer")],
)
def test_a_bad_file_is_one_line(run: Run, tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    code, out, err = run("explain", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
