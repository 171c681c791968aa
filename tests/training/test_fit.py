"""What cannot fit is refused before anything is loaded, and what would is named."""

from pathlib import Path
from typing import Any

import pytest

from embudget.errors import InfeasibleError
from embudget.memory import activation_bytes, model_bytes, training_bytes, ways_to_fit
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.suite import find_shape
from embudget.training import fit
from embudget.training.job import Job
from embudget.training.resources import Resources
from tests.training.test_run import config_for

LARGE = find_shape("pythia-2.8b")


def job_of(pairs: Pairs, method: str = "full", **how: Any) -> Job:  # noqa: ANN401 - any of the resources
    return Job.of(config_for(Path("micro-3m"), pairs, method), pairs, Resources()._replace(**how))


def test_a_model_that_is_too_large_is_refused_with_what_would_fit(
    tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tiny_pairs)
    need = model_bytes(job.method, job.shape, bf16=False)
    monkeypatch.setattr(fit, "device_bytes", lambda: 2 * need)
    fit.check_fits(job)
    monkeypatch.setattr(fit, "device_bytes", lambda: 0.99 * need)
    with pytest.raises(InfeasibleError) as refused:
        fit.check_fits(job)
    said = str(refused.value)
    assert said.startswith("micro-3m full needs at least ") and "\n" not in said
    with pytest.raises(InfeasibleError, match=r"got .* MB"):
        fit.check_fits(job_of(tiny_pairs, neighbours=2))


def test_without_caching_a_batch_must_fit_at_once(tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(tiny_pairs, cache="never")
    a_text = activation_bytes(job.method, job.shape, job.config.max_length, 4)
    tight = model_bytes(job.method, job.shape, bf16=False) + 1.1 * a_text
    monkeypatch.setattr(fit, "device_bytes", lambda: tight)
    with pytest.raises(InfeasibleError, match="use gradient caching, --cache auto"):
        fit.check_fits(job)
    fit.check_fits(job_of(tiny_pairs, cache="always"))


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:32"])
def test_shards_take_less_of_each_device_but_for_the_embedding(method: str) -> None:
    of = parse_method(method)
    sizes = [model_bytes(of, LARGE, shards=shards) for shards in (1, 2, 4, 8, 1024)]
    assert sizes == sorted(sizes, reverse=True)
    states = 12 * of.trained_params(LARGE)
    assert sizes[0] - sizes[-1] > 0.9 * (states + 4 * of.total_params(LARGE)), "blocks are all but gone"
    assert sizes[-1] > 4 * LARGE.embedding_params


def test_the_ways_that_are_named_fit_and_smaller_ones_do_not() -> None:
    full, batch, length, usable = parse_method("full"), 1024, 75, 0.9 * 24e9
    assert training_bytes(full, LARGE, batch, length) > usable
    said = ways_to_fit(full, LARGE, batch, length, usable)
    adapters, _, whole = said.partition(" or ")
    assert adapters == "use lora:32 --devices 4 --shard (20.7 GB)"
    count = int(whole.split()[1])
    assert training_bytes(full, LARGE, batch, length, shards=count) <= usable
    assert training_bytes(full, LARGE, batch, length, shards=count // 2) > usable
    assert ways_to_fit(full, LARGE, batch, length, 1e6) == "use a smaller model or batch"
