"""What a study takes on devices that are not here: the paper's experiment, and what changes with a number of it."""

from pathlib import Path
from typing import Any

import pytest

from embudget.errors import BudgetError, ConfigError, InfeasibleError
from embudget.flops import find_device, tokens_for
from embudget.memory import training_bytes
from embudget.methods import parse_method
from embudget.pairs import Pairs, token_stats
from embudget.spending.on_paper import paper_outlook
from embudget.study import Study
from embudget.suite import find_shape

PAPER = Path(__file__).parents[2] / "studies" / "paper.yaml"


@pytest.fixture(scope="module")
def paper() -> Study:
    return Study.from_yaml(PAPER)


def small(**changes: Any) -> Study:  # noqa: ANN401 - fields of a study
    values = {
        "members": ["pythia-70m", "pythia-160m"], "methods": ["full", "lora:32"], "budgets": [1e16, 4e16],
        "pairs": "none/", "batch_size": 1024, "schedule": "cosine",
        "assumed_pairs": {"query_tokens": 14, "positive_tokens": 64},
    }  # fmt: skip
    return Study.read(values | changes, "study.yaml")


def test_the_papers_experiment_is_planned_without_pairs_and_weights(paper: Study) -> None:
    found = paper_outlook(paper, "h100", count=64, mfu=0.4)
    grid = len(paper.members) * len(paper.methods) * len(paper.budgets)
    too_large = sum(one.runs for one in found.too_large)
    assert found.runs + found.too_short + found.too_few_pairs + found.unfit + too_large == grid == 480
    assert found.assumed and found.tokens_per_pair == 78
    assert found.training_pairs == 2e8 >= found.pairs_needed
    assert found.device_seconds == pytest.approx(found.train_flops / (0.4 * find_device("h100").peak_flops))
    assert found.longest_seconds <= found.makespan_seconds <= found.device_seconds / 64 + found.longest_seconds
    assert found.dollars == pytest.approx(3 * found.device_seconds / 3600)
    assert found.rented_dollars == pytest.approx(3 * 64 * found.makespan_seconds / 3600)
    text = str(found)
    assert "64 x h100" in text and "2e+08 there, assumed" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100


def test_tokens_and_pairs_follow_from_the_formulas() -> None:
    found = paper_outlook(small(members=["pythia-70m"], methods=["full"], budgets=[1e16]), "a100")
    tokens = tokens_for(1e16, parse_method("full"), find_shape("pythia-70m"))
    assert found.tokens == pytest.approx(tokens)
    assert found.pairs_needed == pytest.approx(tokens / 78)
    assert found.token_bytes == pytest.approx(tokens * 2 + tokens / 78 * 24), "ids of 2 bytes, 12 bytes a text"


def test_the_runs_of_a_trunk_are_serial() -> None:
    """Four budgets of one setting take one device as long as they take 100."""
    study = small(members=["pythia-70m"], methods=["full"], schedule="wsd", budgets=[1e16, 2e16, 4e16, 8e16])
    one, many = (paper_outlook(study, "h100", count=count) for count in (1, 100))
    assert one.makespan_seconds == many.makespan_seconds == one.longest_seconds
    assert many.busy == pytest.approx(0.01)
    apart = paper_outlook(study.model_copy(update={"schedule": "cosine"}), "h100", count=100)
    assert apart.makespan_seconds < many.makespan_seconds
    assert apart.train_flops > many.train_flops, "a trunk spends what its runs share once"
    assert apart.trunk_flops == pytest.approx(many.train_flops), "which the outlook says of the other schedule"


def test_runs_that_need_more_pairs_than_there_are_are_left_out() -> None:
    assumed = {"query_tokens": 14, "positive_tokens": 64, "training_pairs": 1e6}
    limited = paper_outlook(small(assumed_pairs=assumed), "h100")
    assert limited.too_few_pairs > 0 and limited.pairs_needed <= 1e6
    assert paper_outlook(small(assumed_pairs=assumed, max_epochs=1000), "h100").too_few_pairs == 0


def test_what_does_not_fit_is_named_with_what_would(paper: Study) -> None:
    found = paper_outlook(paper, "l4", count=8)
    full = next(one for one in found.too_large if (one.model, one.method) == ("pythia-1.4b", "full"))
    assert "embudget train --devices" in full.instead and "--shard" in full.instead
    devices = int(full.instead.split()[1])
    sizes = [
        training_bytes(parse_method("full"), find_shape("pythia-1.4b"), 1024, 75, shards=count)
        for count in (devices // 2, devices)
    ]
    assert sizes[1] <= 0.9 * 24e9 < sizes[0], "the fewest on which it trains, as training itself counts"
    assert found.memory_bytes <= 0.9 * 24e9
    roomy = paper_outlook(paper, "l4", count=8, device_memory="1TB")
    assert not roomy.too_large and roomy.runs > found.runs


def test_checkpoints_are_those_of_the_devices_at_work(paper: Study) -> None:
    few, many = (paper_outlook(paper, "h200", count=count) for count in (1, 64))
    assert few.checkpoint_bytes < many.checkpoint_bytes <= 64 * few.checkpoint_bytes


def test_pairs_that_are_there_are_measured(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    study = small(
        members=[str(tiny_neox)], methods=["full"], budgets=[1e10], pairs=str(tiny_pairs.folder), batch_size=8,
        min_steps=1, eval_pairs=16, eval_candidates=16, max_length=32, max_epochs=100,
    )  # fmt: skip
    found = paper_outlook(study, "h100")
    assert not found.assumed and found.training_pairs == tiny_pairs.rows("train")
    measured = token_stats(tiny_pairs, find_shape(str(tiny_neox)).name, 32).tokens_per_pair
    assert found.tokens_per_pair == pytest.approx(measured)


@pytest.mark.parametrize(
    ("study", "options", "error", "said"),
    [
        (small(assumed_pairs=None), {}, ConfigError, "assumed_pairs: {query_tokens: 14"),
        (small(min_steps=10**9), {}, ConfigError, "no run of the study is worth doing"),
        (small(), {"device_memory": "100MB"}, InfeasibleError, "device_memory must be at least"),
        (small(), {"count": 0}, ConfigError, "count must be >= 1"),
        (small(), {"mfu": 1.5}, ConfigError, "mfu must be <= 1"),
        (small(), {"dollars_per_hour": -1}, ConfigError, "dollars_per_hour must be"),
        (small(), {"device": "abacus"}, BudgetError, "device must be one of"),
    ],
)
def test_bad_input_is_refused(study: Study, options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        paper_outlook(study, **({"device": "h100"} | options))
