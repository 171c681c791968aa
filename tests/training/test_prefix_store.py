import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from embudget.errors import RunError
from embudget.pairs import Pairs, index_pairs
from embudget.pairs.splitting import Split
from embudget.pairs.token_cache import TokenCache
from embudget.records import RunConfig, RunRecord
from embudget.training.encoder import make_chunks
from embudget.training.loop import Training
from embudget.training.order import BatchOrder
from embudget.training.prefix_store import PrefixStore, Text
from embudget.training.resources import CachePolicy, Resources
from embudget.training.run import train_run
from tests.conftest import save_tiny
from tests.training.test_run import config_for

TEXTS = [Text(3, 0), Text(900, 1), Text(3, 1)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    yield


def store_of(folder: Path, pairs: Pairs) -> PrefixStore:
    return PrefixStore(TokenCache(pairs, str(folder), 32), str(folder), 2, 64)


def states_for(folder: Path, pairs: Pairs) -> list[torch.Tensor]:
    tokens = TokenCache(pairs, str(folder), 32)
    torch.manual_seed(0)
    lengths = [len(tokens.texts([text.row])[text.side]) for text in TEXTS]
    return [torch.randn(length, 64).bfloat16().float() for length in lengths]


def test_states_come_back_in_another_process_s_store(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    states = states_for(tiny_neox, tiny_pairs)
    assert store_of(tiny_neox, tiny_pairs).load(TEXTS) is None
    store_of(tiny_neox, tiny_pairs).save(TEXTS, states)
    again = store_of(tiny_neox, tiny_pairs)
    found = again.load(TEXTS)
    assert found is not None
    for wanted, got in zip(states, found, strict=True):
        assert torch.equal(wanted, got)
    assert again.load([*TEXTS, Text(4, 0)]) is None, "all or nothing"


def test_damaged_states_are_not_taken(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    store = store_of(tiny_neox, tiny_pairs)
    store.save(TEXTS, states_for(tiny_neox, tiny_pairs))
    (file,) = store.folder.glob("*.states")
    bits = np.memmap(file, dtype=np.uint16, mode="r+")
    bits[np.flatnonzero(bits)[-1]] ^= 1
    bits.flush()
    assert store_of(tiny_neox, tiny_pairs).load(TEXTS) is None
    bits[:] = 0
    bits.flush()
    assert store_of(tiny_neox, tiny_pairs).load(TEXTS) is None


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Stands for a full disk: what goes beyond ``size`` bytes in any file is refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_an_error_of_one_line(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    store, states = store_of(tiny_neox, tiny_pairs), states_for(tiny_neox, tiny_pairs)
    assert store.load(TEXTS) is None
    store.save(TEXTS[:1], states[:1])
    (file,) = store.folder.glob("*.states")
    with files_of_at_most(file.stat().st_size + 100), pytest.raises(RunError) as raised:
        store.save(TEXTS, states)
    assert str(raised.value) == f"cannot keep the states of frozen blocks in {store.folder}: File too large"
    assert store.load(TEXTS) is None, "what was half-written does not count"
    assert store.load(TEXTS[:1]) is not None
    store.save(TEXTS, states)
    assert store.load(TEXTS) is not None, "once there is space"


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    store = store_of(tiny_neox, tiny_pairs)
    store.folder.parent.parent.mkdir(exist_ok=True)
    store.folder.parent.write_text("in the way")
    with pytest.raises(RunError, match=r"^cannot keep the states of frozen blocks in \S+: "):
        store.load(TEXTS)


def test_files_take_space_for_what_was_seen(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    store = store_of(tiny_neox, tiny_pairs)
    store.save(TEXTS, states_for(tiny_neox, tiny_pairs))
    (file,) = store.folder.glob("*.states")
    assert file.stat().st_size > 900 * 10 * 2 * 64 > 512 * file.stat().st_blocks


@pytest.mark.parametrize("cache", ["never", "always"])
def test_a_second_run_skips_the_prefix_and_ends_the_same(tiny_neox: Path, tiny_pairs: Pairs, cache: str) -> None:
    config = config_for(tiny_neox, tiny_pairs, "freeze:0.5", train_flops=1e9)

    def run(**changes: object) -> RunRecord:
        resources = Resources(cache=cache)._replace(**changes)  # type: ignore[arg-type]
        return train_run(config, tiny_pairs, resources=resources)[1]

    plain, first, second = run(), run(precompute_prefix=True), run(precompute_prefix=True)
    assert first.loss_curve == second.loss_curve
    assert first.loss == second.loss
    assert second.loss == pytest.approx(plain.loss, abs=0.02)
    assert first.executed_flops is not None and second.executed_flops is not None
    assert first.executed_flops == plain.executed_flops
    assert second.executed_flops < 0.9 * first.executed_flops


def test_states_of_another_arithmetic_are_not_taken(
    tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as those that a CUDA device computed under autocast, in a cache folder that machines share."""
    states = states_for(tiny_neox, tiny_pairs)
    folders = set()
    for bf16, flash in ((True, True), (True, False), (False, True)):
        monkeypatch.setattr("embudget.training.attention.uses_bf16", lambda bf16=bf16: bf16)
        monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda flash=flash: flash)
        store = store_of(tiny_neox, tiny_pairs)
        assert store.load(TEXTS) is None
        store.save(TEXTS, states)
        folders.add(store.folder.name.split("-", maxsplit=5)[-1])
    assert folders == {"bf16-flash", "bf16", "float32"}
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: False)
    assert store_of(tiny_neox, tiny_pairs).load(TEXTS) is not None, "a kernel that float32 does not use"


@pytest.mark.parametrize("cache", ["never", "always"])
def test_states_that_another_seed_wrote_change_no_more_than_rounding_does(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: CachePolicy
) -> None:
    """5e-3 nats: rounding all states to bf16 makes 4e-3 in the losses of this model."""
    counts: dict[Split, int] = {"train": 64, "validation": 32}
    for split, rows in counts.items():
        pq.write_table(tiny_pairs.head(split, rows), tmp_path / f"{split}.parquet")
    pairs = index_pairs(tmp_path)
    config = config_for(tiny_llama, pairs, "freeze:0.5", train_flops=2e9)

    def run(config: RunConfig, folder: str) -> RunRecord:
        monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / folder))
        return train_run(config, pairs, resources=Resources(cache=cache, precompute_prefix=True))[1]

    alone = run(config, "own")
    other = run(config.model_copy(update={"seed": 1, "train_flops": 4e9, "max_epochs": 3}), "shared")
    after = run(config, "shared")
    assert other.pairs_seen is not None and other.pairs_seen >= 64
    assert alone.executed_flops is not None and after.executed_flops is not None
    assert after.executed_flops < 0.95 * alone.executed_flops, "the prefix did not run"
    losses = [[loss for _, loss in record.loss_curve] for record in (alone, after)]
    assert losses[1] == pytest.approx(losses[0], abs=5e-3)
    assert after.loss == pytest.approx(alone.loss, abs=5e-3)


@pytest.fixture
def tiny_dropout(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "tiny-dropout", "gpt_neox", hidden_dropout=0.3, attention_dropout=0.3)


def test_dropout_of_frozen_blocks_is_not_kept(tiny_dropout: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_dropout, tiny_pairs, "freeze:0.5")
    training = Training(config, tiny_pairs, Resources(precompute_prefix=True))
    rows = next(BatchOrder(training.tokens, config.batch_size, config.seed, 1))
    training.step(1.0)
    assert all(module.training for module in training.model.modules()), "it is at work above them"
    assert training.engine.store is not None
    kept = training.engine.store.load([Text(row, side) for side in (0, 1) for row in rows])
    assert kept is not None
    training.model.eval()
    for text, states_LH in zip(training.tokens.texts(rows), kept, strict=True):
        (chunk,) = make_chunks([text], 100, training.place.device)
        torch.testing.assert_close(states_LH, training.engine.encoder.hidden(chunk)[0], rtol=1e-2, atol=1e-3)


def test_a_run_with_dropout_ends_the_same_whether_it_finds_its_states(tiny_dropout: Path, tiny_pairs: Pairs) -> None:
    config = config_for(tiny_dropout, tiny_pairs, "freeze:0.5", train_flops=1e9)
    first, second = (train_run(config, tiny_pairs, resources=Resources(precompute_prefix=True))[1] for _ in range(2))
    assert first.loss_curve == second.loss_curve
    assert first.loss == second.loss


def test_a_method_without_frozen_blocks_is_refused(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    with pytest.raises(RunError, match="precompute_prefix needs frozen blocks, got method full"):
        train_run(config_for(tiny_neox, tiny_pairs), tiny_pairs, resources=Resources(precompute_prefix=True))
