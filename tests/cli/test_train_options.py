"""`embudget train`: how texts are read reaches the run, its start stands beside it, and slips are one line."""

import json
from pathlib import Path

import pytest

from embudget.pairs import Pairs
from tests.command_line import Run


def options(model: Path, pairs: Pairs, out: Path) -> list[object]:
    return [
        "train", "--model", model, "--method", "full", "--budget", "1e9", "--pairs", pairs.folder, "--out", out,
        "--batch-size", 8, "--max-length", 32,
    ]  # fmt: skip


def test_options_reach_the_run_and_the_start_is_told(
    run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    found = run(
        *options(tiny_neox, tiny_pairs, tmp_path / "model"),
        "--pooling", "last", "--query-prompt", "q: ", "--document-prompt", "d: ", "--matryoshka", "16,8",
        "--scale", 20, "--weight-decay", 0, "--precision", "float32", "--learning-rate", 1e-12,
    )  # fmt: skip
    assert found.code == 0, found.err
    assert "before training: loss " in found.out and "; after: nDCG@10 " in found.out
    assert "warning: training changed nothing: likely cause: " in found.out
    record = json.loads((tmp_path / "model" / "embudget.json").read_text())
    config = record["config"]
    assert (config["pooling"], config["end_token"]) == ("lasttoken", True)
    assert (config["query_prompt"], config["document_prompt"]) == ("q: ", "d: ")
    assert (config["matryoshka"], config["scale"], config["weight_decay"]) == ([8, 16], 20, 0)
    assert record["base_loss"] == pytest.approx(record["loss"], abs=1e-5)
    assert record["lineage"] == "gpt_neox" and len(record["remarks"]) == 1


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--matryoshka", "8,abc", "--matryoshka: must be a whole number, got 'abc'"),
        ("--matryoshka", "8,8", "matryoshka: must name each size once, got 8, 8"),
        ("--matryoshka", "8,64", "matryoshka must name sizes below 64"),
        ("--matryoshka", "0", "--matryoshka: must be >= 1"),
        ("--attention", "sideways", "attention: must be 'causal' or 'bidirectional', got 'sideways'"),
        ("--precision", "fp8", "precision must be auto, float32, bf16, got fp8"),
        ("--pooling", "max", "pooling: must be mean, last (lasttoken), cls or weighted (weightedmean), got 'max'"),
        ("--scale", "-1", "scale: must be > 0, got -1"),
        ("--query-prompt", "word " * 40, "--query-prompt must leave room for a text: with "),
    ],
)
def test_slips_are_one_line(
    run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, option: str, value: str, message: str
) -> None:
    found = run(*options(tiny_neox, tiny_pairs, tmp_path / "model"), option, value)
    assert found.code == 2 and message in found.err.replace("\n", " "), found.err
    assert not (tmp_path / "model").exists()
