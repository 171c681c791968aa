"""What the commands say of runs that are no better than chance, and of the loss that chance would have."""

from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModel, AutoTokenizer

from embudget.pairs import Pairs
from embudget.study import Store
from tests.command_line import Run


@pytest.fixture(scope="module")
def one_point(tiny_neox: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that embeds all texts alike, whatever an adapter learns, because its last norm has no weight."""
    folder = tmp_path_factory.mktemp("models") / "one-point"
    model = AutoModel.from_pretrained(tiny_neox)
    with torch.no_grad():
        model.final_layer_norm.weight.zero_()
        model.final_layer_norm.bias.fill_(1.0)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_neox).save_pretrained(folder)
    return folder


def study(tmp_path: Path, members: list[str], pairs: Pairs) -> Path:
    values = {
        "members": members, "methods": ["lora:4"], "budgets": [6e8], "pairs": str(pairs.folder), "batch_size": 8,
        "max_length": 32, "min_steps": 2, "eval_pairs": 16, "eval_candidates": 16,
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "study.yaml"


def test_a_sweep_counts_runs_without_gain_and_does_not_do_them_again(
    run: Run, tmp_path: Path, one_point: Path, tiny_neox: Path, tiny_pairs: Pairs
) -> None:
    file, store = study(tmp_path, [f"{tiny_neox}:1", f"{one_point}:1"], tiny_pairs), tmp_path / "study.db"
    swept = run("sweep", file, "--store", store)
    assert swept.code == 0, swept.err
    assert "1 runs done, 1 no better than chance, 0 failed" in swept.out
    assert "no gain: the held-out loss 2.7726 nats is no better than chance, 2.7726" in swept.out
    assert "(chance 2.773)" in swept.err
    again = run("sweep", file, "--store", store, "--retry-failed")
    assert "2 have records, 0 to do" in again.err
    listed = run("records", store).out
    assert "no_gain" in listed and listed.count("2.773") >= 2 and "chance" in listed
    assert run("records", store, "--csv", tmp_path / "records.csv").code == 0
    for source in (store, tmp_path / "records.csv"):
        fitted = run("fit", source, "--out", tmp_path / "laws.json")
        assert fitted.code == 2
    with Store(store) as opened:
        assert sorted(record.status for record in opened.records()) == ["done", "no_gain"]


def test_train_says_what_chance_is_and_that_nothing_was_learned(
    run: Run, tmp_path: Path, one_point: Path, tiny_pairs: Pairs
) -> None:
    options = ["--method", "lora:4", "--budget", "6e8", "--batch-size", "8", "--max-length", "32"]
    trained = run("train", "--model", one_point, *options, "--pairs", tiny_pairs.folder, "--out", tmp_path / "model")
    assert trained.code == 0, trained.err
    assert "(chance " in trained.out
    assert "no gain: the held-out loss" in trained.out


def test_folders_to_compare_with_are_named_apart(
    run: Run, tmp_path: Path, tiny_neox: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train` writes to a folder called model, which is what the table calls the model that is scored."""
    from embudget.suite.loading import load_embedder

    monkeypatch.chdir(tmp_path)
    load_embedder(str(tiny_neox), 32).save_pretrained("model")
    scored = run("evaluate", "model", "--pairs", tiny_pairs.folder, "--against", "model")
    assert scored.code == 0, scored.err
    assert "model/ " in scored.out
    twice = run("evaluate", "model", "--pairs", tiny_pairs.folder, "--against", "model", "--against", "model")
    assert (twice.code, twice.err.strip()) == (2, "embudget: --against must name each folder once, got model twice")
