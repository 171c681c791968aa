"""Texts of thousands of tokens: read whole, cut into chunks of their own, and refused where the positions end."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embudget.errors import ModelError
from embudget.memory import training_bytes
from embudget.methods import parse_method
from embudget.pairs import Pairs, index_pairs, token_stats
from embudget.pairs.token_cache import TokenCache
from embudget.suite import find_shape
from embudget.suite.loading import load_embedder
from embudget.training.chunks import make_chunks
from embudget.training.encoder import Encoder
from embudget.training.run import train
from tests.command_line import Run
from tests.conftest import TINY_TEXT, save_tiny
from tests.training.batches import assert_same, embedder, engine_for, gradients
from tests.training.test_run import config_for

LONGEST = 8192


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One block with 8,192 positions."""
    folder = tmp_path_factory.mktemp("long") / "model"
    return save_tiny(folder, "llama", max_position_embeddings=LONGEST, num_hidden_layers=1, hidden_size=16,
                     intermediate_size=32, num_attention_heads=2, num_key_value_heads=1)  # fmt: skip


@pytest.fixture(scope="module")
def long_pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """Pairs whose positives have some 20 to 9,000 tokens and differ in their last words alone."""
    folder = tmp_path_factory.mktemp("long-pairs")
    for split, count in (("train", 24), ("validation", 8)):
        positives = [" ".join(TINY_TEXT * (1 + 8 * (row % 5))) + f" the end of {split} {row}" for row in range(count)]
        positives[0] = " ".join(TINY_TEXT * 120)
        columns = {"query": [f"question of {split} {row}" for row in range(count)], "positive": positives}
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    return index_pairs(folder)


def test_nothing_of_a_text_is_lost(long_model: Path, long_pairs: Pairs, tmp_path: Path) -> None:
    """Ids and embeddings of the cache and the engine's chunks are those of sentence-transformers, to the last word."""
    model = load_embedder(str(long_model), LONGEST)
    positives = long_pairs.head("train", 6)["positive"].to_pylist()
    ids = TokenCache(long_pairs, str(long_model), LONGEST, folder=tmp_path).texts(range(6))[6:]
    lengths = [len(one) for one in ids]
    assert max(lengths) == LONGEST and sorted(lengths)[-2] > 2048, "one is cut, and others are longer than a chunk"
    for text, one in zip(positives, ids, strict=True):
        assert one.tolist() == model.tokenizer(text, truncation=True, max_length=LONGEST)["input_ids"]
    encoder = Encoder(model.eval())
    wanted = model.encode(positives, batch_size=1, convert_to_tensor=True)
    with torch.no_grad():
        for chunk in make_chunks(ids, 2048, torch.device("cpu")):
            found = encoder.embed(chunk, encoder.hidden(chunk))
            assert (found - wanted[torch.tensor(chunk.texts)]).abs().max() < 1e-5
            assert len(chunk.texts) == 1 or chunk.tokens <= 2048
    cut = load_embedder(str(long_model), 2048).encode(positives[1:2], convert_to_tensor=True)
    assert torch.allclose(cut, wanted[1:2], atol=1e-6) == (lengths[1] <= 2048)


def test_chunks_of_one_long_text_change_no_gradient(long_model: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(2, 400, size).astype(np.int64) for size in (5, 9, 7, 3000, 40, 2500)]
    model = embedder(long_model)
    wanted = gradients(engine_for(model, chunk_tokens=100_000), texts)
    assert_same(gradients(engine_for(model), texts), wanted)
    assert_same(gradients(engine_for(model, cached=True), texts), wanted)


def test_a_run_on_long_texts_is_charged_for_all_of_them(long_model: Path, long_pairs: Pairs) -> None:
    stats = token_stats(long_pairs, str(long_model), LONGEST)
    assert stats.attention_length > 1.3 * stats.positive_mean > 1000
    flops = parse_method("full").flops_per_token(find_shape(str(long_model))) * stats.tokens_per_pair * 6
    config = config_for(
        long_model, long_pairs, train_flops=flops, batch_size=4, max_length=LONGEST, eval_pairs=8, eval_candidates=8,
        learning_rate=1e-4,
    )  # fmt: skip
    record = train(config, long_pairs, with_record=True)[1]
    assert record.tokens is not None and record.train_flops is not None and record.executed_flops is not None
    assert record.tokens > 4 * 1000
    assert record.executed_flops > 2 * record.train_flops, "attention, which budgets do not count"


def test_a_plan_and_a_training_run_say_what_attention_adds(
    run: Run, long_model: Path, long_pairs: Pairs, tmp_path: Path
) -> None:
    lines = [f"members: [{long_model}]", "methods: [full]", "budgets: [1e9]", f"pairs: {long_pairs.folder}",
             "max_length: [8, 8192]", "batch_size: 2", "min_steps: 1", "max_epochs: 1000", "eval_pairs: 8",
             "eval_candidates: 8"]  # fmt: skip
    (tmp_path / "study.yaml").write_text("\n".join(lines))
    planned = run("sweep", tmp_path / "study.yaml", "--dry-run")
    assert planned.out.count("attention adds ") == 1
    assert "the most of all runs, at texts of up to 8,192 tokens, which budgets do not count" in planned.out
    options = ["--model", long_model, "--method", "full", "--pairs", long_pairs.folder, "--batch-size", 4]
    out = ["--max-length", 8192, "--max-epochs", 10, "--out", tmp_path / "model"]
    trained = run("train", *options, "--budget", "4e8", *out)
    assert trained.out.count("to the algorithmic FLOP at these lengths, which budgets do not count") == 1


def test_a_length_beyond_the_positions_is_refused_in_one_line(
    tiny_neox: Path, tiny_pairs: Pairs, long_model: Path, long_pairs: Pairs
) -> None:
    for folder, pairs, most in ((tiny_neox, tiny_pairs, 128), (long_model, long_pairs, LONGEST)):
        config = config_for(folder, pairs, max_length=most + 1, eval_pairs=8, eval_candidates=8, train_flops=1e11)
        with pytest.raises(ModelError, match=f"^max_length must be <= {most} for .*, got {most + 1}$"):
            train(config.model_copy(update={"max_epochs": 10**5}), pairs)


def test_the_memory_of_a_long_text_and_of_negatives_is_counted(tiny_neox: Path) -> None:
    method, shape = parse_method("full"), find_shape(str(tiny_neox))
    short, long = (training_bytes(method, shape, 8, length) for length in (75, LONGEST))
    assert long > short
    assert training_bytes(method, shape, 8, 2048) == short, "a chunk holds as many tokens of short texts"
    more = training_bytes(method, shape, 8, 75, negatives=4) - short
    assert more == 4 * 8 * shape.hidden * 2 * 4
