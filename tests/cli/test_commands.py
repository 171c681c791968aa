"""The commands on tiny models, from pairs to report, and what they say of bad input."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sentence_transformers import SentenceTransformer

from embudget.pairs import Pairs
from tests.command_line import Run


@pytest.fixture
def study_file(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> Path:
    values = {
        "members": [f"{tiny_neox}:{depth}" for depth in (1, 2, 3)],
        "methods": ["full", "lora:4"],
        "budgets": [4e8, 1.6e9, 6.4e9],
        "pairs": str(tiny_pairs.folder),
        "batch_size": 8,
        "max_length": 32,
        "min_steps": 1,
        "eval_pairs": 32,
        "eval_candidates": 32,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "study.yaml"


def without_groups(laws: Path) -> dict[str, Any]:
    """Laws but for the losses by held-out group and the fits moved by them, which a table of runs does not hold."""
    found: dict[str, Any] = json.loads(laws.read_text())
    del found["table"]["groups"]
    for component in found["surface"]["components"]:
        for branch in component["branches"]:
            branch.pop("moved", None)
    for name in ("discrepancy", "fall"):  # sums in another order
        found["surface"][name] = float(f"{found['surface'][name]:.9g}")
    return found


def test_the_whole_path(run: Run, study_file: Path, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    store, laws, recipe = tmp_path / "study.db", tmp_path / "laws.json", tmp_path / "recipe.yaml"
    planned = run("sweep", study_file, "--store", store, "--dry-run")
    assert "18 runs" in planned.out
    assert not store.exists()

    swept = run("sweep", study_file, "--store", store)
    assert swept.code == 0, swept.err
    assert "18 runs done, 0 failed" in swept.out
    assert "18 have records, 0 to do" in run("sweep", study_file, "--store", store).err

    assert run("records", store).out.count("done") == 18
    assert run("records", store, "--csv", tmp_path / "records.csv").code == 0

    fitted = run("fit", store, "--out", laws)
    assert fitted.code == 0, fitted.err
    again = run("fit", tmp_path / "records.csv", "--out", tmp_path / "again.json")
    assert again.code == 0, again.err
    assert without_groups(tmp_path / "again.json") == without_groups(laws)

    answer = run("recipe", laws, "--budget", "1.2e10", "--out", recipe)
    assert answer.code == 0, answer.err
    as_json = json.loads(run("recipe", laws, "--budget", "1.2e10", "--json").out)
    assert as_json["train_flops"] == 1.2e10

    trained = run("train", recipe, "--pairs", tiny_pairs.folder, "--out", tmp_path / "model")
    assert trained.code == 0, trained.err
    assert "held-out loss" in trained.out
    assert SentenceTransformer(str(tmp_path / "model")).encode("a text").shape == (64,)

    scored = run("evaluate", tmp_path / "model", "--pairs", tiny_pairs.folder)
    assert scored.code == 0, scored.err
    assert all(name in scored.out for name in ("model", "untrained base", "BM25", "TF-IDF"))

    reported = run("report", store, "--laws", laws, "--recipe", recipe, "--out", tmp_path / "report.html")
    assert reported.code == 0, reported.err
    assert (tmp_path / "report.html").stat().st_size > 100_000


def test_training_from_options(run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    options = ["--pairs", tiny_pairs.folder, "--out", tmp_path / "m", "--max-length", 32]
    done = run("train", "--model", f"{tiny_neox}:2", "--method", "bias", "--budget", "1e8", *options)
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "m" / "embudget.json").read_text())
    assert record["config"]["method"] == "bias"
    assert record["train_flops"] >= 1e8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "gpt-9", "--method", "full", "--budget", "1e9"], "model must be a built-in name"),
        (["--model", "smollm2-135m:99", "--method", "full", "--budget", "1e9"], "between 1 and 30, got 99"),
        (["--model", "smollm2-135m:x", "--method", "full", "--budget", "1e9"], "depth must be a whole number"),
        (["--model", "smollm2-135m:1", "--method", "magic", "--budget", "1e9"], "method must be full, bias, freeze"),
        (["--model", "smollm2-135m:1", "--method", "lora:0", "--budget", "1e9"], "rank of lora must be >= 1, got 0"),
        (["--model", "smollm2-135m:1", "--method", "bias", "--budget", "1e9"], "bias needs a model with bias terms"),
        (["--model", "smollm2-135m:1", "--method", "full", "--budget", "abc"], "budget must be a number of FLOP"),
        (["--model", "smollm2-135m:1", "--method", "full", "--budget", "-5"], "budget must be finite and > 0, got -5"),
        (
            ["--model", "smollm2-135m:1", "--method", "full", "--budget", "1e9", "--batch-size", "1"],
            "--batch-size: must be >= 2",
        ),
        (["--model", "smollm2-135m:1", "--method", "full", "--gpu-hours", "1"], "--gpu-hours needs a --device"),
        (["--model", "smollm2-135m:1", "--method", "full"], "exactly one of budget"),
        (
            ["--model", "smollm2-135m:1", "--method", "full", "--budget", "1e9", "--schedule", "linear"],
            "schedule: must be 'cosine' or 'wsd', got 'linear'",
        ),
        (["recipe.yaml", "--schedule", "wsd"], "either a recipe or --model"),
        (["--budget", "1e9"], "give a recipe, or --model"),
        (["recipe.yaml", "--budget", "1e9"], "either a recipe or --model"),
        (["missing.yaml"], "missing.yaml"),
    ],
)
def test_bad_training_options(run: Run, tiny_pairs: Pairs, tmp_path: Path, options: list[str], message: str) -> None:
    code, _out, err = run("train", *options, "--pairs", tiny_pairs.folder, "--out", tmp_path / "m")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_bad_files(run: Run, study_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("not a store, not laws")
    cases: list[tuple[list[object], str]] = [
        (["pairs", "stats", tmp_path / "empty"], "pairs"),
        (["pairs", "build", "nonsense", "--out", tmp_path / "p"], "nonsense"),
        (["pairs", "build", f"files:{tmp_path / 'none.jsonl'}", "--out", tmp_path / "p"], "none.jsonl"),
        (["sweep", tmp_path / "none.yaml"], "none.yaml: No such file"),
        (["sweep", study_file, "--store", tmp_path / "notes.txt"], "is not a store"),
        (["records", tmp_path / "none.db"], "there is no store"),
        (["fit", tmp_path / "none.db"], "there is no store"),
        (["fit", tmp_path / "none.csv"], "none.csv"),
        (["recipe", tmp_path / "notes.txt", "--budget", "1e9"], "notes.txt"),
        (["evaluate", tmp_path / "empty", "--pairs", tmp_path / "empty"], "empty"),
        (["report", tmp_path / "notes.txt"], "is not a store"),
        (["suite", "show", "pythia-71m"], "did you mean pythia-70m"),
    ]
    for arguments, message in cases:
        code, _, err = run(*arguments)
        assert (code, err.count("\n")) == (2, 1), (arguments, err)
        assert message in err, (arguments, err)


def test_verbose_shows_the_traceback(run: Run) -> None:
    code, _, err = run("suite", "show", "gpt-9", "-v")
    assert code == 2
    assert "Traceback" in err
    assert err.rstrip().splitlines()[-1].startswith("embudget: model must be a built-in name")


def test_no_arguments_print_the_help(run: Run) -> None:
    for arguments in ([], ["suite"]):
        code, _, err = run(*arguments)
        assert code == 2
        assert "Commands:" in err.splitlines()


def test_suites_are_listed_with_their_sizes(run: Run) -> None:
    out = run("suite", "list").out
    assert "smollm2 (default)" in out
    assert "pythia-12b" in out
    rows = {row.split()[0]: row.split() for row in out.splitlines() if row.split()}
    assert rows["e5-base-v2"][-3:] == ["retriever", "mean", "yes"]
    assert rows["modernbert-large"][-3:] == ["base", "any", "no"]
    assert rows["minilm-l6:2"][-3:] == ["retriever", "mean", "no"]


def test_a_retriever_is_shown_with_what_it_embeds_by(run: Run) -> None:
    out = run("suite", "show", "Qwen/Qwen3-Embedding-0.6B").out
    shown = dict(line.split(maxsplit=1) for line in out.split("\n\n")[0].splitlines())
    assert (shown["name"], shown["start"], shown["pooling"]) == ("qwen3-embedding-0.6b", "retriever", "lasttoken")
    assert shown["query_prompt"].endswith(r"answer the query\nQuery:'")
    assert shown["lineage"] == "qwen3-embedding retriever"
