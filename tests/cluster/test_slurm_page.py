"""The page on Slurm does what it says, word by word, on a real cluster."""

from pathlib import Path

import pytest

from embudget.pairs import Pairs
from tests.cluster.slurm_service import Slurm
from tests.command_line import Run
from tests.docs.pages import ROOT, run_page
from tests.docs.test_pages import SERVED, faq_pairs, with_pairs  # noqa: F401 - a fixture

pytestmark = pytest.mark.cluster


def test_every_block_of_the_page_runs_and_prints_what_is_shown(
    slurm: Slurm,
    run: Run,
    faq_pairs: Pairs,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "howto/slurm" in SERVED
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    monkeypatch.chdir(tmp_path)
    with_pairs(faq_pairs)
    run_page((ROOT / "docs" / "howto" / "slurm.md").read_text(), run)
