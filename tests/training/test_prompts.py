"""Prompts go in front of each text: in training, counting, measuring, and in the model that comes out."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from embudget.errors import ConfigError
from embudget.pairs import Pairs, build_pairs, token_stats
from embudget.pairs.token_cache import TokenCache
from embudget.suite.loading import load_embedder
from embudget.training.heldout import held_out
from embudget.training.job import Job
from embudget.training.run import train
from tests.training.test_run import config_for

QUERY, DOCUMENT = "find: ", "text. "
PROMPTS = QUERY, DOCUMENT


def prompted(folder: Path, length: int = 32) -> SentenceTransformer:
    return load_embedder(str(folder), length, query_prompt=QUERY, document_prompt=DOCUMENT)


def test_training_reads_what_encode_query_and_encode_document_read(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    cache = TokenCache(tiny_pairs, str(tiny_llama), 20, prompts=PROMPTS, folder=tmp_path)
    model, table = prompted(tiny_llama, 20), tiny_pairs.read("train", 0, 5)
    for at, (side, prompt) in enumerate([("query", QUERY), ("positive", DOCUMENT)]):
        for ids, text in zip(cache.texts(range(5))[5 * at : 5 * at + 5], table.column(side).to_pylist(), strict=True):
            assert ids.tolist() == model.preprocess([text], prompt=prompt)["input_ids"][0].tolist()
            assert len(ids) == 20 or ids.tolist() == model.tokenizer(prompt + text)["input_ids"]


def test_an_empty_text_behind_a_prompt_is_read_as_sentence_transformers_reads_it(
    tiny_llama: Path, tmp_path: Path
) -> None:
    rows = "".join(f'{{"query": "q {at}", "positive": "p {at}", "group": "{at}"}}\n' for at in range(64))
    (tmp_path / "rows.jsonl").write_text(rows)
    pairs = build_pairs([f"files:{tmp_path / 'rows.jsonl'}"], tmp_path / "pairs")
    cache = TokenCache(pairs, str(tiny_llama), 20, prompts=PROMPTS, folder=tmp_path)
    (ids,) = cache._tokenise([QUERY + ""]).to_pylist()
    assert ids == prompted(tiny_llama, 20).preprocess([""], prompt=QUERY)["input_ids"][0].tolist()


def test_prompts_change_the_ids_and_neither_the_hashes_nor_older_files(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    plain = TokenCache(tiny_pairs, str(tiny_llama), 20, folder=tmp_path)
    none = TokenCache(tiny_pairs, str(tiny_llama), 20, prompts=("", ""), folder=tmp_path)
    ours = TokenCache(tiny_pairs, str(tiny_llama), 20, prompts=PROMPTS, folder=tmp_path)
    swapped = TokenCache(tiny_pairs, str(tiny_llama), 20, prompts=PROMPTS[::-1], folder=tmp_path)
    assert none.folder == plain.folder, "files from before there were prompts are valid"
    assert len({plain.folder, ours.folder, swapped.folder}) == 3
    assert np.array_equal(plain.hashes(range(9)), ours.hashes(range(9))), "the order of batches is the same"


def test_the_tokens_of_prompts_count(tiny_llama: Path, tiny_pairs: Pairs) -> None:
    plain, ours = (token_stats(tiny_pairs, str(tiny_llama), 100, prompts=each) for each in (("", ""), PROMPTS))
    encode = load_embedder(str(tiny_llama), 100).tokenizer

    def cut(text: str) -> int:
        return min(100, len(encode(text)["input_ids"]))

    extra = [
        np.mean([cut(prompt + text) - cut(text) for text in texts])
        for prompt, texts in zip(
            PROMPTS, (tiny_pairs.table("train").column(side).to_pylist() for side in ("query", "positive")), strict=True
        )
    ]
    assert ours.query_mean == pytest.approx(plain.query_mean + extra[0])
    assert ours.positive_mean == pytest.approx(plain.positive_mean + extra[1])
    assert token_stats(tiny_pairs, str(tiny_llama), 100) == plain, "kept apart from those with prompts"


def test_the_held_out_loss_is_that_of_texts_with_the_prompts_written_into_them(tiny_neox: Path, tmp_path: Path) -> None:
    rows = [(f"question {at} of {at * 7}", f"answer {at} to {at * 13}") for at in range(200)]
    for name, query, document in (("plain", "", ""), ("written", QUERY, DOCUMENT)):
        lines = (f'{{"query": "{query}{q}", "positive": "{document}{p}", "group": "{q}"}}\n' for q, p in rows)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    written, plain = (
        build_pairs([f"files:{tmp_path / f'{name}.jsonl'}"], tmp_path / name, on_remark=lambda line: None)
        for name in ("written", "plain")
    )
    count = plain.rows("validation")  # all of them in one block, so that their order makes no difference
    texts = {pair["query"] for pair in plain.table("validation").to_pylist()}
    assert {QUERY + text for text in texts} == {p["query"] for p in written.table("validation").to_pylist()}
    ours = held_out(prompted(tiny_neox), plain, count, count, 40.0, "first")
    theirs = held_out(load_embedder(str(tiny_neox), 32), written, count, count, 40.0, "first")
    without = held_out(load_embedder(str(tiny_neox), 32), plain, count, count, 40.0, "first")
    assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
    assert ours.loss != pytest.approx(without.loss, abs=1e-3)


def test_a_model_keeps_the_prompts_it_was_trained_with(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = config_for(tiny_neox, tiny_pairs, train_flops=6e8, query_prompt=QUERY, document_prompt=DOCUMENT)
    model = train(config, tiny_pairs, tmp_path / "model")
    again = SentenceTransformer(str(tmp_path / "model"))
    assert again.prompts == {"query": QUERY, "document": DOCUMENT}
    found, wanted = again.encode_query(["a b c"]), model.encode([QUERY + "a b c"])
    assert np.allclose(found, wanted, atol=1e-5)
    assert not np.allclose(found, model.encode(["a b c"]), atol=1e-3)
    assert config.id != config_for(tiny_neox, tiny_pairs, train_flops=6e8).id


@pytest.mark.parametrize("field", ["query_prompt", "document_prompt"])
def test_a_prompt_that_leaves_no_room_is_refused(tiny_neox: Path, tiny_pairs: Pairs, field: str) -> None:
    config = config_for(tiny_neox, tiny_pairs, **{field: "word " * 40})
    with pytest.raises(ConfigError, match=rf"^{field} must leave room for a text: with .* of max_length=32 tokens"):
        Job.of(config, tiny_pairs)
