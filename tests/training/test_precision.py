"""Which precision a run gets: as asked, by default, by measuring, or that of the study's runs so far."""

import math
import time
from pathlib import Path

import pytest
import torch

from embudget.errors import ConfigError
from embudget.memory import activation_bytes, state_bytes
from embudget.pairs import Pairs
from embudget.suite import find_shape
from embudget.training import device, precision
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.precision import bf16_speedup, resolve_precision, study_precision
from embudget.training.run import train
from tests.training.processes import launch, record_at, write
from tests.training.test_run import config_for


def test_what_is_asked_for_by_name_is_taken() -> None:
    shape = find_shape("micro-200k")
    assert [resolve_precision(asked, shape, "cpu") for asked in ("float32", "bf16")] == ["float32", "bf16"]
    with pytest.raises(ConfigError, match="precision must be auto, float32, bf16, got fp16"):
        resolve_precision("fp16", shape)  # type: ignore[arg-type]


def test_a_cpu_computes_in_float32_by_default() -> None:
    assert resolve_precision(None, find_shape("micro-200k"), "cpu") == "float32"


@pytest.mark.gpu
def test_a_gpu_with_bf16_uses_it_by_default() -> None:
    fast = torch.cuda.is_bf16_supported(including_emulation=False)
    assert resolve_precision(None, find_shape("micro-200k")) == ("bf16" if fast else "float32")


@pytest.mark.parametrize("model", ["micro-200k", "smollm2-135m", "pythia-6.9b"])
def test_measuring_takes_less_than_a_second(model: str) -> None:
    """What counts is one thread's computing time, so that other programs on the machine do not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    precision._measured.cache_clear()
    try:
        started = time.process_time()
        found = bf16_speedup(find_shape(model))
        assert time.process_time() - started < 1.2
        assert bf16_speedup(find_shape(model)) == found, "measured once"
    finally:
        torch.set_num_threads(threads)
    assert 0.02 < found < 50


def test_the_ratio_is_that_of_products_timed_by_hand() -> None:
    """Linear layers of one size on other numbers, beside which attention is small: within a factor of 3."""
    shape = find_shape("smollm2-135m")
    precision._measured.cache_clear()
    found = bf16_speedup(shape)
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(7):
        for kind, times in seconds.items():
            x, weight = torch.randn(512, 576).to(kind), torch.randn(1536, 576).to(kind)
            started = time.thread_time()
            for _ in range(3):
                torch.mm(x, weight.T)
            times.append(time.thread_time() - started)
    assert 1 / 3 < found / (min(seconds[torch.float32]) / min(seconds[torch.bfloat16])) < 3


@pytest.mark.parametrize(("model", "causal"), [("minilm-l6", False), ("smollm2-135m", True)])
def test_attention_is_timed_in_the_direction_of_the_model(
    model: str, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder computes both halves of its scores, a decoder one of them."""
    kernel, seen = torch.nn.functional.scaled_dot_product_attention, set()

    def watched(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, is_causal: bool) -> torch.Tensor:
        seen.add(is_causal)
        return kernel(q, k, v, is_causal=is_causal)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    monkeypatch.setattr(precision, "_HOPELESS", float("inf"))  # on machines that emulate bf16 too
    precision._measured.cache_clear()
    bf16_speedup(find_shape(model))
    assert seen == {causal}


@pytest.mark.parametrize(("worth_it", "wanted"), [(0.0, "bf16"), (math.inf, "float32")])
def test_auto_goes_by_what_was_measured(worth_it: float, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "WORTH_IT", worth_it)
    assert resolve_precision("auto", find_shape("micro-200k"), "cpu") == wanted
    assert study_precision("auto", [find_shape("micro-200k")], device="cpu") == wanted


def test_a_study_goes_on_in_the_precision_of_its_runs() -> None:
    shapes = [find_shape("micro-200k"), find_shape("micro-450k")]
    for asked in ("auto", None):
        assert study_precision(asked, shapes, ["bf16", "bf16"], "cpu") == "bf16"
        assert study_precision(asked, shapes, ["float32"], "cpu") == "float32"
    assert study_precision("float32", shapes, ["bf16"], "cpu") == "float32", "other runs, as asked"
    assert study_precision(None, shapes, ["bf16", "float32"], "cpu") == "float32", "both are there: the default"


def test_processes_agree_and_train_alike(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """The second process would decide otherwise. Its chunks are others, so that sums differ by bf16's rounding."""
    low = config_for(tiny_neox, tiny_pairs, learning_rate=1e-3, precision="bf16")

    def work(rank: int) -> None:
        precision.WORTH_IT = math.inf if rank else 0.0
        settled = resolve_precision("auto", find_shape(str(tiny_neox)))
        (tmp_path / f"precision-{rank}").write_text(settled)
        write(tmp_path, "bf16", rank, train(low, tiny_pairs, with_record=True)[1])

    launch(2, tmp_path, work)
    assert [(tmp_path / f"precision-{rank}").read_text() for rank in range(2)] == ["bf16", "bf16"]
    first, second = (record_at(tmp_path, "bf16", rank) for rank in range(2))
    assert (first.loss, first.loss_curve) == (second.loss, second.loss_curve), "to the last bit: they must not part"
    alone = train(low, tiny_pairs, with_record=True)[1]
    apart = [abs(a - b) for (_, a), (_, b) in zip(first.loss_curve, alone.loss_curve, strict=True)]
    assert len(apart) >= 5 and max(apart[:3]) < 0.02 and max(apart) < 0.1


@pytest.mark.parametrize("asked", ["float32", "bf16"])
def test_whether_gradients_are_cached_follows_the_precision(
    tiny_neox: Path, tiny_pairs: Pairs, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what a batch takes in bf16, activations of 3 bytes a number and a copy, and in float32, 4 bytes."""
    job = Job.of(config_for(tiny_neox, tiny_pairs, precision=asked), tiny_pairs)
    batch = activation_bytes(job.method, job.shape, job.tokens_per_pair * 8, 1)
    states, copy = state_bytes(job.method, job.shape), 2 * job.shape.model_params
    exact, low = states + 4 * batch, states + 3 * batch + copy
    assert low < exact, "else this batch is too small to tell"
    monkeypatch.setattr(device, "free_bytes", lambda: (exact + low) / 2 / device.SHARE_OF_FREE_MEMORY)
    assert Training(job).engine.cached is (asked == "float32")
