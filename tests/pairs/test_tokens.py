import json
from pathlib import Path

import pytest

from embudget.errors import ModelError, PairsError
from embudget.pairs import Pairs, build_from, build_pairs, load_pairs, token_stats
from embudget.suite.loading import load_tokenizer

from .conftest import MadeSource, made_pairs


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return build_from([MadeSource(made_pairs(20, 5))], tmp_path / "pairs")


def test_lengths_are_those_of_the_tokenizer(pairs: Pairs, tiny_llama: Path) -> None:
    stats = token_stats(pairs, str(tiny_llama), max_length=20)
    encode = load_tokenizer(str(tiny_llama))
    for side, mean, share in [
        ("query", stats.query_mean, stats.query_cut),
        ("positive", stats.positive_mean, stats.positive_cut),
    ]:
        lengths = [len(encode(text)["input_ids"]) for text in pairs.table("train").column(side).to_pylist()]
        assert mean == pytest.approx(sum(min(length, 20) for length in lengths) / len(lengths))
        assert share == pytest.approx(sum(length > 20 for length in lengths) / len(lengths))
    assert 0 < stats.query_cut < stats.positive_cut or stats.positive_cut == 1
    assert stats.positive_quantiles.p5 <= stats.positive_quantiles.p95 == 20
    assert stats.tokens_per_pair == stats.query_mean + stats.positive_mean
    assert stats.pairs == pairs.rows("train")


def test_measured_once_whatever_the_depth(pairs: Pairs, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = token_stats(pairs, f"{tiny_llama}:2")
    monkeypatch.setattr("embudget.pairs.tokens.load_tokenizer", lambda name: pytest.fail("measured again"))
    assert token_stats(pairs, str(tiny_llama)) == stats
    loaded = load_pairs(pairs.folder)
    assert loaded.info.tokens == {f"{tiny_llama}@75": stats}
    assert loaded.hash == pairs.hash
    assert build_from([MadeSource(made_pairs(20, 5))], pairs.folder).info.tokens == loaded.info.tokens


def test_a_folder_that_cannot_be_written_is_measured_all_the_same(
    pairs: Pairs, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, info: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("embudget.pairs.tokens.write_info", refuse)
    assert token_stats(pairs, str(tiny_llama)).query_mean > 1
    assert json.loads((pairs.folder / "pairs.json").read_text())["tokens"] == {}


def test_bad_arguments(pairs: Pairs) -> None:
    with pytest.raises(PairsError, match=r"^max_length must be >= 1, got 0$"):
        token_stats(pairs, "smollm2-135m", max_length=0)
    with pytest.raises(ModelError):
        token_stats(pairs, "no-such-model")


def test_stats_with_the_build(tmp_path: Path, tiny_llama: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"query": f"what is {n}", "positive": f"{n} plus zero"}) for n in range(30)))
    pairs = build_pairs([f"files:{path}"], tmp_path / "out", tokenizers=[str(tiny_llama)])
    assert list(pairs.info.tokens) == [f"{tiny_llama}@75"]
