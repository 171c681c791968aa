"""Engines over tiny models, and batches for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import Tensor

from embudget.methods import parse_method
from embudget.suite import find_shape
from embudget.suite.architecture import Architecture
from embudget.suite.loading import load_embedder
from embudget.training.bf16 import Bf16Weights
from embudget.training.encoder import Encoder
from embudget.training.engine import Engine
from embudget.training.meter import BudgetMeter

SCALE = 40.0

LOSS_ROUNDING = 4e-5
"""Nats: ten times the last place of a float32 score of 40. Losses of sums in another order differ by one to three."""

Texts = list[NDArray[np.int64]]


def embedder(folder: Path, method: str = "full", pooling: str = "mean") -> SentenceTransformer:
    """A tiny model to which a method is applied, its LoRA weights all other than 0, in training mode."""
    return with_method(load_embedder(str(folder), 32, pooling), folder, method)


def with_method(model: SentenceTransformer, folder: Path, method: str) -> SentenceTransformer:
    """The same for a model of the folder that is loaded already, and is changed."""
    torch.manual_seed(0)  # both matrices of LoRA are drawn
    parse_method(method).apply_to_embedder(model, find_shape(str(folder)))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def engine_for(
    model: SentenceTransformer,
    description: Architecture | None = None,
    bf16: bool = False,
    **how: Any,  # noqa: ANN401 - any of the engine's arguments
) -> Engine:
    weights = Bf16Weights(model[0].model) if bf16 else None
    return Engine(Encoder(model, autocast=bf16, description=description), SCALE, weights=weights, **how)


def token_ids(model: SentenceTransformer, texts: Sequence[str]) -> Texts:
    return [np.array(model.tokenizer(text, truncation=True, max_length=32)["input_ids"]) for text in texts]


def ragged_sides(texts: list[str]) -> tuple[list[str], list[str]]:
    """Six queries, one of a single token, and their positives."""
    queries = ["a", *(text[: 5 * n] for n, text in enumerate(texts[1:6], start=1))]
    return queries, [text * (1 + n % 2) for n, text in enumerate(texts[:6])]


def ragged(model: SentenceTransformer, texts: list[str]) -> Texts:
    queries, positives = ragged_sides(texts)
    return token_ids(model, [*queries, *positives])


def gradients(
    engine: Engine, texts: Texts, meter: BudgetMeter | None = None, pairs: int | None = None
) -> tuple[float, dict[str, Tensor]]:
    """The loss and the gradient of every trained parameter, that of the input embedding made dense."""
    encoder = engine.encoder
    encoder.model.zero_grad()
    torch.manual_seed(1)
    if encoder.table is None:
        loss = engine.gradients(texts, meter, pairs=pairs)
        return loss, _found(encoder.model)
    present, places = np.unique(np.concatenate(texts), return_inverse=True)
    at = torch.from_numpy(present).to(encoder.table.device)
    rows_RH = encoder.table.detach()[at].requires_grad_()
    ends = np.cumsum([len(text) for text in texts])[:-1]
    loss = engine.gradients(np.split(places, ends), meter, rows_RH, pairs=pairs)
    assert rows_RH.grad is not None
    encoder.table.grad = torch.zeros_like(encoder.table).index_copy(0, at, rows_RH.grad)
    return loss, _found(encoder.model)


def _found(model: SentenceTransformer) -> dict[str, Tensor]:
    found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    return found


def assert_same(found: tuple[float, dict[str, Tensor]], wanted: tuple[float, dict[str, Tensor]]) -> None:
    """Equal up to the order of summation: 1e-4 of a gradient's largest entry."""
    assert abs(found[0] - wanted[0]) < LOSS_ROUNDING
    assert found[1].keys() == wanted[1].keys()
    assert found[1]
    for name, gradient in wanted[1].items():
        size = gradient.abs().max().item()
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=1e-4 * size + 1e-7, msg=f"gradient of {name}")


def replayed(model: SentenceTransformer, texts: Texts) -> tuple[float, dict[str, Tensor]]:
    """What `gradients` gives under dropout, after a check that a cached pass draws it again and leaves its state."""
    wanted = gradients(engine_for(model, chunk_tokens=40), texts)
    assert_same(gradients(engine_for(model, chunk_tokens=40, cached=True), texts), wanted)
    state = torch.get_rng_state()
    gradients(engine_for(model, chunk_tokens=40), texts)
    assert torch.equal(torch.get_rng_state(), state), "either way the next step draws the same"
    return wanted


def meter_for(folder: Path, method: str) -> BudgetMeter:
    return BudgetMeter(parse_method(method), find_shape(str(folder)))
