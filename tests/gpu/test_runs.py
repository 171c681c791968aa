"""Whole runs on the device that training takes by itself: losses as on a CPU, interruption, compilation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from accelerate import PartialState

from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.records.config import Precision
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.training.test_run import config_for

METHODS = ("full", "freeze:0.5", "bias", "lora:4")
STEPS = 12
DRIFT = {"float32": 0.01, "bf16": 0.3}
"""Nats by which a training loss of 2 may differ from that of a CPU in float32 after `STEPS` steps. In bf16 it differs
by up to 0.1 on a CPU: Adam's first steps go by the sign of each gradient, which rounding turns where it is small."""


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """The device that training takes in this process."""
    wanted: str = request.param
    if wanted == "cpu" and torch.cuda.is_available():
        pytest.skip("training takes the GPU that is here")
    return wanted


@contextmanager
def on_a_cpu() -> Iterator[None]:
    """Let training take the CPU, whatever else there is."""
    PartialState._reset_state()
    PartialState(cpu=True)
    try:
        yield
    finally:
        PartialState._reset_state()


def losses_of(config: RunConfig, pairs: Pairs, resources: Resources | None = None) -> tuple[list[float], Training]:
    training = Training(Job.of(config, pairs, resources))
    return [training.step(0.3) for _ in range(STEPS)], training


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_training_losses_are_those_of_a_cpu(
    device: str, method: str, precision: Precision, tiny_neox: Path, tiny_pairs: Pairs
) -> None:
    config = config_for(tiny_neox, tiny_pairs, method)
    with on_a_cpu():
        wanted, reference = losses_of(config, tiny_pairs)
        assert {value.device.type for value in reference.model.parameters()} == {"cpu"}
    found, training = losses_of(config.model_copy(update={"precision": precision}), tiny_pairs)
    assert training.place.device.type == device
    assert max(abs(one - other) for one, other in zip(found, wanted, strict=True)) < DRIFT[precision]
    assert wanted[-1] < wanted[0], "something was learned in so many steps"


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_an_interrupted_run_ends_as_an_undisturbed_one(
    device: str, method: str, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    config = config_for(tiny_neox, tiny_pairs, method, precision="bf16")
    shares: list[float] = []
    _, wanted = train(config, tiny_pairs, on_progress=lambda share, loss: shares.append(share), with_record=True)
    steps = len(shares)
    often = Resources(checkpoint_seconds=0)

    def interrupt(share: float, loss: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tiny_pairs, tmp_path / "model", on_progress=interrupt, resources=often)
    shares.clear()
    model, found = train(
        config, tiny_pairs, tmp_path / "model", on_progress=lambda share, loss: shares.append(share), resources=often,
        with_record=True,
    )  # fmt: skip
    assert 0 < len(shares) <= steps // 2 + 1, "it went on where it was"
    assert found.steps == wanted.steps and found.tokens == wanted.tokens
    assert found.loss is not None and wanted.loss is not None
    if device == "cpu":
        assert found.loss == wanted.loss
    assert found.loss == pytest.approx(wanted.loss, abs=0.05), "sums of a GPU are not always in the same order"
    assert found.provenance is not None
    assert found.provenance.device == (torch.cuda.get_device_name() if device == "cuda" else found.provenance.device)
    assert {value.device.type for value in model.parameters()} == {device}


@pytest.mark.filterwarnings("default")  # the compiler warns about itself
@pytest.mark.parametrize(
    "place", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_compiled_blocks_compute_the_same(place: str, method: str, tiny_neox: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_neox, tiny_pairs, method)
    wanted, _ = losses_of(config, tiny_pairs)
    found, training = losses_of(config, tiny_pairs, Resources(compile=True))
    assert training.place.device.type == place
    assert found == pytest.approx(wanted, abs=DRIFT["float32"])
    assert all(block._compiled_call_impl is not None for block in training.engine.encoder.blocks)
