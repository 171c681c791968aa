"""What columns of other people's tables mean: every fault is named, N is taken from shapes, sane tables get no word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.worlds import GROUPS, make_case
from embudget.laws import fit
from embudget.recipe import recommend
from embudget.records import RunRecord, records_frame
from embudget.runs import RunTable
from embudget.runs.complete import built_in_shape
from embudget.suite import find_shape

COLUMNS = (
    "model", "method", "budget", "model_params", "tokens", "train_flops", "loss", "seed", "learning_rate", "batch_size",
)  # fmt: skip
KINDS = tuple(kind for group in GROUPS.values() for kind in group)
RESULTS = Path(__file__).parents[2] / "results"


def foreign(records: list[RunRecord], method: str | None = None) -> pd.DataFrame:
    """Runs as somebody's own table has them, all of one batch."""
    runs = records_frame(records, COLUMNS).assign(batch_size=16.0)
    return runs if method is None else runs[runs["method"] == method].reset_index(drop=True)


def remarks(runs: pd.DataFrame, path: Path) -> dict[str, str]:
    """The texts of the remarks on a table, by the column."""
    return {remark.about: remark.text for remark in read(runs, path).remarks}


def read(runs: pd.DataFrame, path: Path) -> RunTable:
    pq.write_table(pa.Table.from_pandas(runs, preserve_index=False), path / "runs.parquet")
    return RunTable.read(path / "runs.parquet")


def embeddings(runs: pd.DataFrame) -> Any:  # noqa: ANN401 - (n,)
    return runs["model"].map(lambda name: find_shape(name).embedding_params).to_numpy()


def faults(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """What columns may be instead: what the remark is about, the table, and what the remark says."""
    budgets = np.sort(runs["budget"].unique())
    size, flops, loss, rate = (runs[name] for name in ("model_params", "train_flops", "loss", "learning_rate"))
    tables, upper = embeddings(runs), runs["budget"] >= budgets[len(budgets) // 2]
    by_card = runs.assign(model_params=size + tables).drop(columns=["train_flops", "budget"])
    yield "model_params", by_card, "counts the embeddings"
    yield "train_flops", runs.assign(train_flops=flops / 2), "(MACs, 3 N D)"
    doubled = runs.assign(train_flops=flops * 2)
    yield "train_flops", doubled, "(12 N D)"
    yield "train_flops", doubled.drop(columns=["model", "budget"]), "(12 N D)"
    yield "train_flops", runs.assign(train_flops=flops / 1e9), "in another unit"
    with_tables = runs.assign(train_flops=flops * (1 + tables / size))
    yield "train_flops", with_tables, "embeddings are counted in"
    yield "train_flops", with_tables.drop(columns="model"), "embeddings are counted in"
    for at in ([0, 1], [1, 2], [0, 3], [-2, -1], [1]):
        in_bits = runs["budget"].isin(budgets[at])
        named = ", ".join(f"{budget:.3g}" for budget in sorted(budgets[at]))
        yield "loss", runs.assign(loss=loss.where(~in_bits, loss / np.log(2))), f"the losses at {named} FLOP lie 1.44"
    yield "loss", runs.assign(loss=np.exp(-loss / 2)), "is it an accuracy?"
    yield "loss", runs.assign(loss=100 * np.exp(-loss / 2)), "is it a score, such as accuracy?"
    yield "learning_rate", runs.assign(learning_rate=rate.where(~upper, rate / 4)), "0.25 times as high at the upper"
    yield "batch_size", runs.assign(batch_size=np.where(upper, 128.0, 16.0)), "8 times as high at the upper half"


@pytest.mark.parametrize(
    ("kind", "seed", "method"),
    [
        ("chinchilla-shared-small", 0, "full"),  # 4 sizes x 4 budgets
        ("neither-apart-small", 1, "full"),
        ("rectified-apart-small", 2, None),
        ("dense_retrieval-shared-large", 3, None),
        ("chinchilla-shared-small-outlier", 4, None),
    ],
)
def test_every_fault_is_named_and_a_sane_table_gets_no_word(
    tmp_path: Path, kind: str, seed: int, method: str | None
) -> None:
    runs = foreign(make_case(kind, seed).records(), method)
    assert remarks(runs, tmp_path) == {}
    assert remarks(runs.drop(columns=["model", "budget"]), tmp_path) == {}
    for about, faulty, said in faults(runs):
        found = remarks(faulty, tmp_path)
        assert set(found) == {about}, said
        assert said in found[about]
        assert "\n" not in found[about]
        assert len(found[about]) < 400


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_studies_get_no_remark(kind: str) -> None:
    assert RunTable.of(make_case(kind, 7).records()).remarks == ()


@pytest.mark.slow
def test_fewer_than_one_in_a_hundred_simulated_studies_gets_a_remark(tmp_path: Path) -> None:
    tables = [(make_case(kind, seed).records(), seed) for kind in KINDS for seed in range(20)]
    wrong = [RunTable.of(records).remarks or read(foreign(records), tmp_path).remarks for records, _ in tables]
    assert sum(map(bool, wrong)) <= len(tables) / 100


@pytest.mark.parametrize("study", ["smollm2", "micro", "quickstart", "trunk"])
def test_published_studies_get_no_remark(study: str) -> None:
    table = RunTable.read(RESULTS / study / "records.jsonl")
    assert table.remarks == ()


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("pythia-70m", "pythia-70m"),
        ("EleutherAI/pythia-70m-deduped", "pythia-70m"),
        ("HuggingFaceTB/SmolLM2-135M:8", "smollm2-135m:8"),
        ("Qwen/Qwen3-0.6B-Base", "qwen3-0.6b"),
        ("allenai/OLMo-2-0425-1B", "olmo-2-1b"),
        ("pythia-70m-of-ours", None),
        ("./pythia-70m", None),
        ("pythia-70m:99", None),
        ("", None),
    ],
)
def test_a_built_in_checkpoint_is_known_by_the_hubs_spellings(spelled: str, name: str | None) -> None:
    shape = built_in_shape(spelled)
    assert (None if shape is None else shape.name) == name


def test_the_shapes_n_is_taken_with_the_flops_that_were_counted_with_another(tmp_path: Path) -> None:
    """N of model cards; rounded as names say it; and C absent, counted with the wrong N, or counted apart from it."""
    names = ["EleutherAI/pythia-70m", "EleutherAI/pythia-160m", "EleutherAI/pythia-410m"]
    own = np.array([find_shape(name.partition("/")[2]).model_params for name in names], dtype=float)
    runs = pd.DataFrame({"model": names, "model_params": [70_426_624.0, 160e6, 0.41e9], "loss": 2.5, "tokens": 1e9})
    for costs in ({}, {"train_flops": 6 * runs["model_params"] * 1e9}, {"train_flops": 6 * own * 1e9}):
        table = read(runs.assign(**costs), tmp_path)
        assert sorted(cell.model_params for cell in table.cells) == own.tolist()
        assert sorted(cell.train_flops for cell in table.cells) == pytest.approx(6 * own * 1e9)
        (remark,) = table.remarks
        assert remark.settled
        assert "counts the embeddings: 7.043e+07 for EleutherAI/pythia-70m, which has 1.892e+07 without" in remark.text
        assert "the shapes' N was taken" in remark.text
    by_flops = read(runs.drop(columns="tokens").assign(train_flops=6 * runs["model_params"] * 1e9), tmp_path)
    assert [cell.tokens for cell in by_flops.cells] == pytest.approx([1e9] * 3)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_table_with_n_of_model_cards_has_the_cells_of_the_right_one(tmp_path: Path, seed: int) -> None:
    """So that the laws are the same, whether C is left out or was counted with the same N."""
    runs = foreign(make_case("chinchilla-shared-small", seed).records()).drop(columns=["train_flops", "budget"])
    by_card = runs.assign(model_params=runs["model_params"] + embeddings(runs))
    assert read(by_card, tmp_path).cells == read(runs, tmp_path).cells
    full = runs["method"] == "full"
    counted = by_card.assign(train_flops=6 * by_card["model_params"] * runs["tokens"])[full]
    assert read(counted, tmp_path).cells == read(runs[full], tmp_path).cells


def test_n_in_millions_is_known_by_the_shape_or_else_by_its_smallness(tmp_path: Path) -> None:
    runs = pd.DataFrame({"model": "pythia-70m", "model_params": [18.9], "loss": 2.5, "tokens": 1e9})
    assert read(runs, tmp_path).cells[0].model_params == find_shape("pythia-70m").model_params
    assert "is in millions: 18.9 for pythia-70m" in remarks(runs, tmp_path)["model_params"]
    unknown = remarks(runs.assign(model="ours"), tmp_path)["model_params"]
    assert unknown == "model_params is at most 18.9: in millions or billions? --columns model_params=NAME*1e6 or *1e9"


def test_another_size_of_a_known_model_is_kept_and_remarked_on(tmp_path: Path) -> None:
    """It may be right: the table need not say to how many blocks a model was cut."""
    size = float(find_shape("pythia-70m:3").model_params)
    table = read(pd.DataFrame({"model": "pythia-70m", "model_params": [size], "loss": 2.5, "tokens": 1e9}), tmp_path)
    assert table.cells[0].model_params == size
    (remark,) = table.remarks
    assert not remark.settled
    assert "its shape has 1.892e+07 without embeddings: correct it, or name the depth" in remark.text
    assert "as in pythia-70m:3" in remark.text


def test_unknown_models_keep_their_n(tmp_path: Path) -> None:
    runs = pd.DataFrame(
        {"model": ["pythia-70m", "ours"], "model_params": [70e6, 80e6], "loss": [2.5, 2.6], "tokens": [1e9, 1e9]}
    )
    table = read(runs, tmp_path)
    assert {cell.model: cell.model_params for cell in table.cells}["ours"] == 80e6
    assert "N of other models is kept: leave embeddings out there too" in table.remarks[0].text


def test_embeddings_in_the_flops_of_large_models_are_seen_though_they_are_few(tmp_path: Path) -> None:
    """5 to 13 % of C, which a detailed count of operations might differ by, if it were not exactly theirs."""
    names = ["pythia-1b", "pythia-1.4b", "pythia-2.8b"]
    shapes = [find_shape(name) for name in names]
    size, tables = (np.array([getattr(one, name) for one in shapes]) for name in ("model_params", "embedding_params"))
    runs = pd.DataFrame({"model": names, "model_params": size.astype(float), "tokens": 1e10, "loss": [2.5, 2.4, 2.3]})
    assert (
        "embeddings are counted in" in remarks(runs.assign(train_flops=6e10 * (size + tables)), tmp_path)["train_flops"]
    )
    assert remarks(runs.assign(train_flops=6e10 * size * 1.1), tmp_path) == {}


def test_one_wrong_row_is_no_meaning_of_a_column(tmp_path: Path) -> None:
    runs = foreign(make_case("chinchilla-shared-small", 0).records(), "full")
    flops = runs["train_flops"].where(runs.index > 0, runs["train_flops"] * 12)
    assert remarks(runs.assign(train_flops=flops), tmp_path) == {}


def test_the_fit_shows_remarks_and_the_recipe_repeats_what_is_left_to_do(tmp_path: Path) -> None:
    runs = foreign(make_case("chinchilla-shared-small", 1).records(), "full")
    faulty = runs.assign(model_params=runs["model_params"] + embeddings(runs), train_flops=2 * runs["train_flops"])
    laws = fit(read(faulty, tmp_path), draws=20)
    taken, doubled = laws.table.remarks
    assert (taken.about, taken.settled, doubled.about, doubled.settled) == ("model_params", True, "train_flops", False)
    assert f"warning: {taken.text}\nwarning: {doubled.text}" in laws.summary()
    laws.save(tmp_path / "laws.json")
    kept = type(laws).load(tmp_path / "laws.json")
    warnings = recommend(kept, 4 * laws.table.budgets[-1], suite="pythia", max_epochs=10**6).warnings
    assert doubled.text in warnings
    assert taken.text not in warnings
