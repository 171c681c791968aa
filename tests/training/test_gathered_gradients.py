"""Loss and gradient of one batch in several processes are those of one, whatever trains and however it is computed.

Each process embeds a part of the texts. Were negatives gathered without their gradients, a process would see only what
its own texts do as queries and positives, and the gradients would be far from these.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from embudget.suite import find_shape
from embudget.suite.loading import load_embedder
from embudget.training.agreement import whole
from embudget.training.encoder import base_decoder
from embudget.training.engine import Engine
from embudget.training.sharding import ShardedBlocks
from tests.training.batches import Texts, engine_for, ragged_sides, token_ids, with_method
from tests.training.processes import launch

MODEL = "micro-3m"
METHODS = ("full", "freeze:0.5", "bias", "lora:8")
SAME = 1e-5
"""Largest difference of the loss, relative, and of the gradient, relative to its length."""

Found = dict[str, np.ndarray]


def engine_of_model(method: str, *, shard: bool = False) -> Engine:
    """The largest of the models that come with embudget, its chunks so small that a process has several."""
    model = with_method(load_embedder(MODEL, 32), Path(MODEL), method)
    if shard:
        ShardedBlocks(base_decoder(model[0].model), find_shape(MODEL).description.blocks, bf16=False)
    return engine_for(model, chunk_tokens=128, sharded=shard)


def batch(text: list[str], negatives: bool) -> tuple[Texts, np.ndarray | None]:
    """Six pairs, with eight hard negatives if they are asked for, one of which is right for a query."""
    tokenizer = load_embedder(MODEL, 32)
    queries, positives = ragged_sides(text)
    hard = [f"{one} {place} but no answer" for place, one in enumerate(text)] if negatives else []
    return token_ids(tokenizer, [*queries, *positives, *hard]), np.array([[2, 1]]) if negatives else None


def found(engine: Engine, texts: Texts, right_P2: np.ndarray | None) -> Found:
    """The loss, and the gradient of everything that trains; of the input embedding that of the rows that occur."""
    torch.manual_seed(1)
    encoder, rows_RH = engine.encoder, None
    if encoder.table is not None:
        present, places = np.unique(np.concatenate(texts), return_inverse=True)
        rows_RH = encoder.table.detach()[torch.from_numpy(present)].requires_grad_()
        texts = np.split(places, np.cumsum([len(text) for text in texts])[:-1])
    loss = engine.gradients(texts, None, rows_RH, pairs=6, right_P2=right_P2)
    values = {name: value.grad for name, value in encoder.trained()}
    if rows_RH is not None:
        values["rows"] = rows_RH.grad
    arrays = {name: whole(value).numpy().copy() for name, value in values.items() if value is not None}
    assert len(arrays) == len(values), "everything has a gradient"
    return {"loss": np.array(loss)} | arrays


def in_all_settings(text: list[str], shard: bool = False) -> Iterator[tuple[str, Found]]:
    """Each method, directly and with gradient caching, without and with hard negatives."""
    batches = [(what, batch(text, what == "negatives")) for what in ("pairs", "negatives")]
    for method in METHODS:
        engine = engine_of_model(method, shard=shard)
        for engine.cached in (False, True):
            for what, (texts, right_P2) in batches:
                name = f"{method} {'cached' if engine.cached else 'direct'} {what}"
                yield name.replace(":", "-"), found(engine, texts, right_P2)
                engine.encoder.model.zero_grad()


@pytest.fixture(scope="module")
def alone(tiny_text: list[str]) -> dict[str, Found]:
    """What one process has in each setting."""
    return dict(in_all_settings(tiny_text))


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True], ids=["replicated", "sharded"])
@pytest.mark.parametrize("count", [2, 4])
def test_loss_and_gradient_are_those_of_one_process(
    alone: dict[str, Found], tiny_text: list[str], tmp_path: Path, count: int, shard: bool
) -> None:
    def work(rank: int) -> None:
        torch.set_num_threads(1)
        for name, values in in_all_settings(tiny_text, shard):
            np.savez(tmp_path / f"{name}-{rank}.npz", allow_pickle=False, **values)

    launch(count, tmp_path, work)
    for name, wanted in alone.items():
        for rank in range(count):
            with np.load(tmp_path / f"{name}-{rank}.npz") as file:
                values = dict(file)
            assert values.keys() == wanted.keys()
            assert values["loss"] == pytest.approx(wanted["loss"], rel=SAME), name
            length = np.sqrt(sum((wanted[one] ** 2).sum() for one in wanted if one != "loss"))
            apart = np.sqrt(sum(((values[one] - wanted[one]) ** 2).sum() for one in wanted if one != "loss"))
            assert apart < SAME * length, f"{name} in process {rank}: {apart / length:.2g}"


@pytest.mark.slow
def test_a_process_without_a_text_goes_along(tiny_text: list[str], tmp_path: Path) -> None:
    """Four processes and a batch of three texts: the fourth one's chunk has no weight."""
    texts, _ = batch(tiny_text, negatives=False)
    texts = [texts[1], texts[8], texts[7]]  # the last one is a hard negative, nearer to the query than its positive

    def one_pair(shard: bool) -> float:
        engine = engine_of_model("lora:8", shard=shard)
        return engine.gradients(texts, pairs=1)

    def work(rank: int) -> None:
        (tmp_path / f"loss-{rank}").write_text(json.dumps([one_pair(shard) for shard in (False, True)]))

    launch(4, tmp_path, work)
    alone = one_pair(False)
    assert alone > 1e-3
    for rank in range(4):
        assert json.loads((tmp_path / f"loss-{rank}").read_text()) == pytest.approx([alone] * 2, rel=SAME)
