"""The pages under Start and How to do what they say: every code block runs, offline, and prints what is shown."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from embudget.pairs import Pairs, build_pairs, load_pairs
from embudget.records import RunRecord
from embudget.study import Store
from embudget.suite.loading import load_embedder
from tests.command_line import Run
from tests.conftest import save_tiny
from tests.docs.faq import write_faq
from tests.docs.pages import ROOT, blocks_of, compare, run_page

PAGES = sorted(path for folder in ("start", "howto") for path in (ROOT / "docs" / folder).glob("*.md"))
SERVED = {"howto/buckets", "howto/ray", "howto/slurm"}
"""Pages that need a service, which `tests/cluster` starts and runs them on."""
SLOW = {
    "start/python", "start/quickstart", "howto/dollars", "howto/export", "howto/gpus", "howto/judge", "howto/plan",
    "howto/push", "howto/resume", "howto/spend", "howto/study", "howto/workers",
}  # fmt: skip
"""Pages that train, or simulate, for longer than 5 seconds; `make test-processes` runs them."""


@pytest.fixture(scope="session")
def faq_pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """Pairs made of the questions and answers, with the 512 for validation that a run is measured on by default."""
    folder = tmp_path_factory.mktemp("docs")
    write_faq(folder / "faq.csv", 13_500)
    return build_pairs(
        [f"files:{folder / 'faq.csv'}"], folder / "pairs", query_column="question", positive_column="answer"
    )


def with_pairs(pairs: Pairs) -> None:
    """The folder `pairs/` and the file it was made of, `faq.csv`."""
    shutil.copytree(pairs.folder, "pairs")
    shutil.copy(pairs.folder.parent / "faq.csv", "faq.csv")


def with_models(pairs: Pairs) -> None:
    """Two models of one's own, beside the pairs."""
    with_pairs(pairs)
    for name, layers in (("small", 2), ("large", 4)):
        save_tiny(Path("my-models") / name, "gpt_neox", num_hidden_layers=layers)


def with_study(pairs: Pairs) -> None:
    """The store of a study of 28 runs on the demo pairs, from its published records."""
    records = (ROOT / "results" / "quickstart" / "records.jsonl").read_text().splitlines()
    with Store("study.db") as store:
        for record in map(RunRecord.model_validate_json, records):
            if record.config.train_flops < 9e12:  # the study's, not those that checked the recipe
                store.add(record)


def with_runs(pairs: Pairs) -> None:
    """A table of runs as another project might have it: the runs of that study under other names."""
    from embudget.runs import write_records_csv

    with_study(pairs)
    with Store("study.db", create=False) as store:
        write_records_csv(store.records(), "all.csv")
    names = {"model_params": "params", "tokens": "D", "loss": "eval_loss", "method": "method"}
    head, *rows = (line.split(",") for line in Path("all.csv").read_text().splitlines())
    places = [head.index(name) for name in names]
    lines = [",".join(names.values()), *(",".join(row[place] for place in places) for row in rows)]
    Path("runs.csv").write_text("\n".join(lines) + "\n")


def with_model(pairs: Pairs) -> None:
    """A model to score, `model/`, beside the pairs."""
    with_pairs(pairs)
    load_embedder(str(save_tiny(Path("base"), "gpt_neox")), 64).save_pretrained("model")


SETUP: dict[str, Callable[[Pairs], None]] = {
    "start/output": with_study,
    "howto/evaluate": with_model,
    "howto/export": with_model,
    "howto/models": with_models,
    "howto/page": with_study,
    "howto/push": with_pairs,
    "howto/table": with_runs,
}
"""What is there before a page begins; for most pages it is the pairs."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in (path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in PAGES)
        if name not in SERVED
    ],
)
def test_every_block_of_a_page_runs_and_prints_what_is_shown(
    page: str, run: Run, faq_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SETUP.get(page, with_pairs)(faq_pairs)
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert blocks_of(text), "a page without a block shows nothing"
    run_page(text, run)


def test_an_output_that_is_not_printed_is_found_out() -> None:
    printed = "loss 3.131, in 12 s\nas good   a; b\n"
    compare("loss 3.14, in ...\n...\nas good a; b", printed)
    for wrong in ("loss 3.31, in ...", "as good a; b\nloss 3.131, in 12 s", "as good a"):
        with pytest.raises(AssertionError):
            compare(wrong, printed)


def test_whole_numbers_are_compared_exactly() -> None:
    printed = "N 28,321,344, in 1.006e+07 steps\n"
    compare("N 28,321,344, in 1e+07 steps", printed)
    for wrong in ("N 28,320,192, in ...", "N 28321344, in ..."):
        with pytest.raises(AssertionError):
            compare(wrong, printed)


def test_the_made_up_pairs_are_enough_to_measure_on(faq_pairs: Pairs) -> None:
    assert load_pairs(faq_pairs.folder).rows("validation") >= 512
