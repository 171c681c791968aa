"""Steps: the updates of plain sentence-transformers, and the end of runs that diverge."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor
from transformers import set_seed

from embudget.errors import DivergedError
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.suite import find_shape
from embudget.suite.loading import load_embedder
from embudget.training.budget import run_to_budget
from embudget.training.engine import Engine
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.resources import Resources
from embudget.training.run import train
from embudget.training.schedule import factor_of
from tests.study.executing import executed
from tests.training.test_run import config_for


def test_the_parts_of_a_model_have_the_kernel_that_it_trains_with(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mask that a part makes is for the kernel that its layers run."""

    def other_kernel(model: SentenceTransformer) -> bool:
        model[0].model.set_attn_implementation("eager")
        return False

    monkeypatch.setattr("embudget.training.engine.use_flash_attention", other_kernel)
    config = config_for(tiny_neox, tiny_pairs, "freeze:0.5", precision="bf16")  # flash attention takes no float32
    encoder = Training(Job.of(config, tiny_pairs)).engine.encoder
    kernels = {part.config._attn_implementation for part in (encoder._prefix, encoder._suffix)}
    assert kernels == {layer.attention.config._attn_implementation for layer in encoder._suffix.layers} == {"eager"}


class Recording(MultipleNegativesRankingLoss):  # type: ignore[misc] # the library is untyped
    """The symmetric loss, which keeps its values."""

    def __init__(self, model: SentenceTransformer, scale: float) -> None:
        both = ("query_to_doc", "doc_to_query")
        super().__init__(model, scale=scale, directions=both, partition_mode="per_direction")
        self.values: list[float] = []

    def forward(self, *inputs: Any, **more: Any) -> Tensor:  # noqa: ANN401 - as the library has it
        loss: Tensor = super().forward(*inputs, **more)
        self.values.append(loss.item())
        return loss


def plain_sentence_transformers(
    config: RunConfig, pairs: Pairs, rates: list[float], folder: Path
) -> tuple[list[float], SentenceTransformer]:
    """Losses and model of the library's own trainer, at the rates of the steps given."""
    set_seed(config.seed)
    model = load_embedder(config.model, config.max_length)
    parse_method(config.method).apply_to_embedder(model, find_shape(config.model))
    loss = Recording(model, config.scale)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.batch_size,
        batch_sampler="no_duplicates",
        dataloader_drop_last=True,
        dataloader_pin_memory=False,
        max_steps=len(rates),
        learning_rate=1.0,
        weight_decay=config.weight_decay,
        max_grad_norm=1.0,
        optim="adamw_torch",
        seed=config.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    data = Dataset(pairs.table("train").select(["query", "positive"]))
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss)
    optimizer = trainer.create_optimizer()
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: [*rates, 0.0][step])
    trainer.optimizer, trainer.lr_scheduler = optimizer, schedule
    trainer.train()
    return loss.values, model


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both sides in float64, also where their code asks for float32.

    The gradients of GPT-NeoX's key biases are rounding errors alone, since a softmax does not see them. AdamW divides
    each gradient by its own size, which makes steps of 1e-3 out of 1e-9 in float32, another on every processor; in
    float64 its eps of 1e-8 stands far above the rounding and such parameters stay where they are.
    """
    original = load_embedder

    def doubled(*inputs: Any, **more: Any) -> SentenceTransformer:  # noqa: ANN401 - passed on
        return original(*inputs, **more).double()

    monkeypatch.setattr("embudget.training.start.load_embedder", doubled)
    monkeypatch.setattr("tests.training.test_loop.load_embedder", doubled)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def both_trained(
    folder: Path, pairs: Pairs, method: str, resources: Resources, trainer_folder: Path
) -> tuple[Training, list[float], SentenceTransformer]:
    """Our run to its budget, and losses and model of the library's own trainer at the same rates."""
    config = config_for(
        folder, pairs, method, train_flops=4e9, learning_rate=3e-3, weight_decay=0.1, warmup=0.3, seed=3
    )
    training = Training(Job.of(config, pairs, resources))
    rates: list[float] = []
    run_to_budget(training, config.train_flops, factor_of(config), lambda share, loss: rates.append(training.rate))
    assert 8 <= len(rates) <= 20
    assert max(rates) > 2e-3 > min(rates)
    if training.rows is not None:
        training.rows.catch_up_all()
    return training, *plain_sentence_transformers(config, pairs, rates, trainer_folder)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("cache", ["never", "always"])
@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
def test_batch_loss_and_update_are_those_of_plain_sentence_transformers(
    tiny_neox: Path,
    tiny_pairs: Pairs,
    method: str,
    cache: Any,  # noqa: ANN401 - one of the policies
    tmp_path: Path,
) -> None:
    training, losses, model = both_trained(tiny_neox, tiny_pairs, method, Resources(cache=cache), tmp_path)
    assert [loss for _, loss in training.losses] == pytest.approx(losses, abs=1e-9)
    assert max(losses) - min(losses) > 0.1
    fresh = Training(Job.of(training.job.config, tiny_pairs))  # as both began
    start = {name: value.detach() for name, value in fresh.model.named_parameters()}
    moved = away = 0.0
    for (name, ours), theirs in zip(training.model.named_parameters(), model.parameters(), strict=True):
        assert ours.dtype == theirs.dtype == torch.float64
        if ours.requires_grad:
            away += (ours - theirs).square().sum().item()
            moved += (theirs - start[name]).square().sum().item()
    assert 0 < away < (1e-9) ** 2 * moved


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
def test_in_float32_the_losses_are_those_of_plain_sentence_transformers(
    tiny_neox: Path, tiny_pairs: Pairs, method: str, tmp_path: Path
) -> None:
    """The losses alone: what rounding does to the update, as above, is what the loss does not see."""
    training, losses, model = both_trained(tiny_neox, tiny_pairs, method, Resources(), tmp_path)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert [loss for _, loss in training.losses] == pytest.approx(losses, abs=1e-4)


@pytest.mark.parametrize("method", ["full", "lora:4"])
def test_a_loss_that_is_no_number_ends_the_run(tiny_neox: Path, tiny_pairs: Pairs, method: str) -> None:
    config = config_for(tiny_neox, tiny_pairs, method, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"the loss became nan at step \d+ \(last losses: .*nan\): lower") as caught:
        train(config, tiny_pairs)
    curve = caught.value.curve
    assert math.isnan(curve[-1][1]) and math.isfinite(curve[0][1])
    assert all(math.isfinite(loss) for _, loss in caught.value.curve_of(config.train_flops))


def test_a_diverged_run_has_a_record_without_a_loss(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_neox, tiny_pairs, learning_rate=1e30)
    (record,) = executed((config,), tiny_pairs.folder)
    assert (record.status, record.loss, record.accuracy) == ("diverged", None, None)
    assert record.error is not None and "the loss became nan" in record.error
    assert record.loss_curve and all(0 < share < 1 and math.isfinite(loss) for share, loss in record.loss_curve)


@pytest.fixture
def forged(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Losses that are reported in place of the true ones, from the fourth step on; the last one goes on."""
    losses: list[float] = []
    original = Engine.gradients
    steps: list[int] = []

    def gradients(self: Engine, *inputs: Any, **others: Any) -> float:  # noqa: ANN401 - passed on
        loss = original(self, *inputs, **others)
        steps.append(len(steps))
        return loss if steps[-1] < 3 else losses[min(steps[-1] - 3, len(losses) - 1)]

    monkeypatch.setattr(Engine, "gradients", gradients)
    return losses


def test_an_exploding_loss_ends_the_run(tiny_neox: Path, tiny_pairs: Pairs, forged: list[float]) -> None:
    forged.append(100.0)
    config = config_for(tiny_neox, tiny_pairs, train_flops=8e9)
    (record,) = executed((config,), tiny_pairs.folder)
    assert (record.status, record.loss) == ("diverged", None)
    assert record.error is not None
    assert re.match(r"the loss rose to 100\.00 nats from \d\.\d+ at step \d+ .*: lower the learning rate", record.error)
    assert record.loss_curve[-1][1] == 100.0


def test_an_infinite_loss_ends_the_run_at_once(tiny_neox: Path, tiny_pairs: Pairs, forged: list[float]) -> None:
    forged.append(math.inf)
    with pytest.raises(DivergedError, match=r"the loss became inf at step 4 "):
        train(config_for(tiny_neox, tiny_pairs, train_flops=8e9), tiny_pairs)


def test_one_bad_batch_is_not_taken_for_an_explosion(tiny_neox: Path, tiny_pairs: Pairs, forged: list[float]) -> None:
    forged.extend([30.0, 1.0])
    record = train(config_for(tiny_neox, tiny_pairs, train_flops=8e9), tiny_pairs, with_record=True)[1]
    assert record.status == "done" and record.steps is not None and record.steps > 13
