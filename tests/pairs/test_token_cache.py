"""Cached ids are those of the tokenizer, whatever happened to the cache."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pyarrow as pa
import pytest

from embudget.errors import ModelError, PairsError
from embudget.pairs import Pairs
from embudget.pairs.token_batch import negatives_of
from embudget.pairs.token_cache import TokenCache
from embudget.suite.loading import load_embedder, load_tokenizer


@pytest.fixture
def cache(tiny_pairs: Pairs, tiny_llama: Path, tmp_path: Path) -> TokenCache:
    return TokenCache(tiny_pairs, str(tiny_llama), 20, folder=tmp_path / "tokens", block=256)


def again(cache: TokenCache) -> TokenCache:
    return TokenCache(cache.pairs, cache.model, cache.max_length, folder=cache.folder.parent, block=cache.block)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_ids_are_those_that_the_model_reads(cache: TokenCache, tiny_pairs: Pairs, tiny_llama: Path) -> None:
    model = load_embedder(str(tiny_llama), 20)
    table = tiny_pairs.table("train")
    rows = [3, 700, 255, 256, cache.rows - 1]
    texts = [table[side][row].as_py() for side in ("query", "positive") for row in rows]
    features = model.preprocess(texts)
    wanted = [
        ids[mask.bool()].numpy() for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]
    found = cache.texts(rows)
    assert same(found, wanted)
    assert found[0].dtype == np.uint16
    assert max(map(len, found)) == 20, "some are cut"


def test_special_tokens_count_towards_the_cut(
    tiny_pairs: Pairs, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = load_tokenizer(str(tiny_llama))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|end|> $A <|pad|>", special_tokens=[("<|end|>", 0), ("<|pad|>", 1)]
    )
    monkeypatch.setattr("embudget.pairs.token_cache.load_tokenizer", lambda name, end_token: tokenizer)
    cache = TokenCache(tiny_pairs, str(tiny_llama), 9, folder=tmp_path)
    texts = tiny_pairs.head("train", 40)["query"].to_pylist()
    found = cache.texts(range(40))[:40]
    wanted = [np.array(ids) for ids in tokenizer(texts, truncation=True, max_length=9)["input_ids"]]
    assert same(found, wanted)
    assert (found[0][0], found[0][-1], len(found[0])) == (0, 1, 9)


def test_a_vocabulary_too_large_for_16_bits(cache: TokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = cache.texts([5])
    for path in cache.folder.iterdir():
        path.unlink()
    tokenizer = load_tokenizer(cache.model)
    monkeypatch.setattr(type(tokenizer), "__len__", lambda self: 2**16 + 1)
    wide = again(cache).texts([5])
    assert wide[0].dtype == np.int32
    assert same(narrow, wide)


def test_equal_texts_have_equal_hashes(cache: TokenCache, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.table({"query": ["a", "b", "c"], "positive": ["b", "d", "c"]})
    monkeypatch.setattr(Pairs, "read", lambda self, split, start, stop: texts)
    cache.rows = 3
    hashes = cache.hashes([0, 1, 2, 1])
    assert hashes.shape == (4, 2) and hashes.dtype == np.uint64
    assert hashes[0, 1] == hashes[1, 0] == hashes[3, 0] and hashes[2, 0] == hashes[2, 1]
    assert len(np.unique(hashes)) == 4


def test_a_block_is_made_when_it_is_needed_and_once(cache: TokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, hashes = cache.texts([300]), cache.hashes([300])
    assert [path.name for path in cache.folder.iterdir()] == ["000001.arrow"]
    monkeypatch.setattr(
        "embudget.pairs.token_cache.load_tokenizer", lambda name, end_token: pytest.fail("tokenised again")
    )
    assert same(again(cache).texts([300]), ids)
    assert np.array_equal(again(cache).hashes([300]), hashes)


def test_few_blocks_are_open(cache: TokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embudget.pairs.token_cache._OPEN", 2)
    rows = [0, 300, 600, 900, 1200]
    kept = cache.texts(rows)
    assert len(cache._open) == 2
    assert same(kept, again(cache).texts(rows)), "views outlive the block"


@pytest.mark.parametrize(
    "damage", ["truncated", "emptied", "header", "changed id", "changed hash", "other rows", "no Arrow"]
)
def test_a_damaged_block_is_made_anew(cache: TokenCache, damage: str) -> None:
    rows = list(range(256, 512))
    ids, hashes = [array.copy() for array in cache.texts(rows)], cache.hashes(rows)
    path = cache.folder / "000001.arrow"
    good = path.read_bytes()
    if damage == "other rows":
        cache.hashes([0])
        (cache.folder / "000000.arrow").rename(path)
        last = (cache.rows - 1) // 256
        cache.hashes([cache.rows - 1])
        (cache.folder / f"{last:06d}.arrow").rename(path)
    else:
        changed = bytearray(good)
        for name, needle in [("changed id", ids[9].tobytes()), ("changed hash", hashes[7, 1].tobytes())]:
            if damage == name:
                changed[good.index(needle)] ^= 1
        if damage == "header":
            changed[100:400] = b"\xff" * 300
        cut = {"truncated": len(good) - 30, "emptied": 0}.get(damage, len(good))
        path.write_bytes(b"no Arrow" if damage == "no Arrow" else changed[:cut])
    assert path.read_bytes() != good
    assert same(again(cache).texts(rows), ids)
    assert np.array_equal(again(cache).hashes(rows), hashes)
    assert path.read_bytes() == good


def test_several_make_the_same_blocks_at_once(cache: TokenCache) -> None:
    rows = list(range(0, cache.rows, 100))
    start = Barrier(4)

    def work(number: int) -> list[np.ndarray]:
        mine = again(cache)
        start.wait()
        return mine.texts(rows)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert all(same(one, cache.texts(rows)) for one in found)
    blocks = -(-cache.rows // 256)
    assert sorted(path.name for path in cache.folder.iterdir()) == [f"{number:06d}.arrow" for number in range(blocks)]


def test_the_place_depends_on_pairs_tokenizer_and_length(
    tiny_pairs: Pairs, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json
    import shutil

    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    first = TokenCache(tiny_pairs, str(tiny_llama), 20).folder
    assert first.parent == tmp_path / "cache" / "tokens"
    assert first.name.startswith(f"{tiny_pairs.hash}-") and first.name.endswith("-20")
    assert TokenCache(tiny_pairs, f"{tiny_llama}:2", 20).folder == first
    copy = tmp_path / "copy"
    shutil.copytree(tiny_llama, copy)
    assert TokenCache(tiny_pairs, str(copy), 20).folder == first, "the same tokenizer in another place"
    settings = json.loads((copy / "tokenizer.json").read_text())
    settings["model"]["merges"] = []
    (copy / "tokenizer.json").write_text(json.dumps(settings))
    assert TokenCache(tiny_pairs, str(copy), 20).folder != first
    assert TokenCache(tiny_pairs, str(tiny_llama), 21).folder != first


def test_bad_arguments(tiny_pairs: Pairs, tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"^max_length must be >= 1, got 0$"):
        TokenCache(tiny_pairs, str(tiny_llama), 0)
    with pytest.raises(ModelError):
        TokenCache(tiny_pairs, "no-such-model", 20)
    (tmp_path / "file").write_text("")
    with pytest.raises(PairsError, match=r"^cannot write the token cache .*: Not a directory$"):
        TokenCache(tiny_pairs, str(tiny_llama), 20, folder=tmp_path / "file").texts([0])


# ---- hard negatives


def test_a_batch_holds_the_first_negatives_that_each_pair_has(
    hard_pairs: Pairs, tiny_llama: Path, tmp_path: Path
) -> None:
    cache = TokenCache(hard_pairs, str(tiny_llama), 20, negatives=2, folder=tmp_path, block=256)
    lists = negatives_of(hard_pairs, 0, cache.rows)
    without = next(row for row in range(cache.rows) if not lists[row])
    rows = [3, 700, 255, 256, without, 6, 7, 8, cache.rows - 1]
    batch = cache.batch(rows)
    counts = [min(2, len(lists[row])) for row in rows]
    assert {0, 1, 2} == set(counts), "the case occurs"
    assert (batch.pairs, len(batch.texts)) == (9, 18 + sum(counts))
    assert same(batch.texts[:18], cache.texts(rows))
    negatives = [lists[row][slot] for slot in range(2) for row in rows if slot < len(lists[row])]
    tokenizer = load_tokenizer(str(tiny_llama))
    wanted = [np.array(tokenizer(text, truncation=True, max_length=20)["input_ids"]) for text in negatives]
    assert same(batch.texts[18:], wanted)
    assert batch.tokens == sum(map(len, batch.texts))


def test_right_answers_among_the_negatives_are_found(hard_pairs: Pairs, tiny_llama: Path, tmp_path: Path) -> None:
    cache = TokenCache(hard_pairs, str(tiny_llama), 20, negatives=3, folder=tmp_path)
    rows = list(range(40))
    table = hard_pairs.head("train", 40).to_pylist()
    lists = negatives_of(hard_pairs, 0, 40)
    negatives = [lists[row][slot] for slot in range(3) for row in rows if slot < len(lists[row])]
    wanted = {
        (query, place)
        for query, pair in enumerate(table)
        for place, text in enumerate(negatives)
        if text in (pair["query"], pair["positive"])
    }
    found = set(map(tuple, cache.batch(rows).right_P2.tolist()))
    assert found == wanted
    assert 5 < len(found) < len(negatives)


def test_ids_of_negatives_are_shared_by_runs_that_take_more_and_those_of_pairs_by_all(
    hard_pairs: Pairs, tiny_llama: Path, tmp_path: Path
) -> None:
    def made(negatives: int) -> list[str]:
        cache = TokenCache(hard_pairs, str(tiny_llama), 20, negatives=negatives, folder=tmp_path)
        cache.batch([0, 1])
        return sorted(path.name for path in cache.folder.iterdir())

    assert made(0) == ["000000.arrow"]
    assert made(1) == ["000000-negative-1.arrow", "000000.arrow"]
    (folder,) = tmp_path.iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert made(3) == ["000000-negative-1.arrow", "000000-negative-2.arrow", "000000-negative-3.arrow", "000000.arrow"]
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before


def test_a_damaged_file_of_negatives_is_made_anew(hard_pairs: Pairs, tiny_llama: Path, tmp_path: Path) -> None:
    def opened() -> TokenCache:
        return TokenCache(hard_pairs, str(tiny_llama), 20, negatives=1, folder=tmp_path)

    wanted = [text.copy() for text in opened().batch(range(30)).texts]
    path = opened().folder / "000000-negative-1.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert same(opened().batch(range(30)).texts, wanted)
    assert path.read_bytes() != bytes(data)
