"""A disk on which nothing of size fits any more, by a limit of the system: no error is made up here."""

import resource
from pathlib import Path

import pytest

from embudget.pairs import Pairs
from tests.command_line import Run
from tests.training.test_kills import Command, arguments, outcome


@pytest.mark.slow
def test_what_was_there_stays_and_training_goes_on_to_its_end(run: Run, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """A checkpoint that does not fit is a warning; a model that does not fit is one line, and the old one stays."""
    assert run(*arguments(tiny_pairs, str(tmp_path / "model"))).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()}
    other = arguments(tiny_pairs, "model", "--checkpoint-minutes", "0", "--seed", "1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        full = Command(tmp_path, other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.wait() == 2
    said = full.said.read_text()
    assert "Traceback" not in said
    assert not list(tmp_path.glob("model.checkpoints/*/*")), "half a checkpoint would keep the disk full"
    assert said.splitlines()[-1].startswith("embudget: cannot write model: ") and "File too large" in said
    assert {path: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()} == before
    again = Command(tmp_path, other)
    assert again.wait() == 0, again.said.read_text()
    config = outcome(tmp_path / "model")[1]["config"]
    assert isinstance(config, dict) and config["seed"] == 1
