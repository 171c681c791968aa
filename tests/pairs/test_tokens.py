"""Lengths are those of the tokenizer, measured once and kept."""

import json
import re
import shutil
from pathlib import Path

import pytest

from embudget.errors import ModelError, PairsError
from embudget.pairs import Pairs, build_from, build_pairs, load_pairs, token_stats
from embudget.suite.loading import load_tokenizer
from tests.command_line import Run

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


def test_the_first_of_built_pairs_are_measured(pairs: Pairs, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embudget.pairs.tokens.SAMPLE", 40)
    stats, encode = token_stats(pairs, str(tiny_llama)), load_tokenizer(str(tiny_llama))
    queries = pairs.table("train").column("query").to_pylist()[:40]
    assert stats.pairs == 40 < pairs.rows("train")
    assert stats.query_mean == pytest.approx(sum(len(encode(text)["input_ids"]) for text in queries) / 40)


def test_measured_once_whatever_the_depth(pairs: Pairs, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = token_stats(pairs, f"{tiny_llama}:2")
    monkeypatch.setattr("embudget.pairs.tokens.load_tokenizer", lambda name: pytest.fail("measured again"))
    assert token_stats(pairs, str(tiny_llama)) == stats
    loaded = load_pairs(pairs.folder)
    assert list(loaded.info.tokens.values()) == [stats]
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
    (key,) = pairs.info.tokens
    assert re.fullmatch(rf"{tiny_llama} sha256:[0-9a-f]{{8}}@75", key)


def test_another_tokenizer_in_the_same_folder_is_measured_anew(pairs: Pairs, tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    first = token_stats(pairs, str(folder))
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["model"]["merges"] = []  # single bytes
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    assert token_stats(pairs, str(folder), 75).query_mean > first.query_mean
    assert len(load_pairs(pairs.folder).info.tokens) == 2


def _build(run: Run, folder: Path, *options: object) -> list[str]:
    """Tokenizers counted by the command, from its output and from the folder, which must agree."""
    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps({"query": f"what is {n}", "positive": f"{n} plus zero"}) for n in range(30)))
    done = run("pairs", "build", f"files:{path}", "--out", folder / "out", *options)
    assert done.code == 0, done.err
    printed = re.findall(r"^tokens of (.*), cut at 75: ", done.out, re.MULTILINE)
    assert printed == [stats.tokenizer for stats in load_pairs(folder / "out").info.tokens.values()]
    return printed


def test_the_command_counts_the_tokens_it_is_told_to(
    run: Run, tmp_path: Path, tiny_llama: Path, tiny_neox: Path
) -> None:
    assert _build(run, tmp_path, "--tokenizer", tiny_llama, "--tokenizer", f"{tiny_neox}:2") == [
        str(tiny_llama),
        str(tiny_neox),
    ]


def test_the_command_counts_those_of_an_installed_checkpoint_by_itself(
    run: Run, tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = load_tokenizer.__globals__["PACKAGES"]
    for name in carried:
        monkeypatch.setitem(carried, name, "no-such-package")
    assert _build(run, tmp_path) == []
    monkeypatch.setitem(carried, "smollm2-135m", "json")  # a package that is there
    tokenizer = load_tokenizer(str(tiny_llama))
    monkeypatch.setattr("embudget.pairs.tokens.load_tokenizer", lambda name, end_token: tokenizer)
    assert _build(run, tmp_path) == ["smollm2-135m"]
