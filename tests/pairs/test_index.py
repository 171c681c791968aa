"""The user's own Parquet files become pairs where they are, unchanged."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.errors import PairsError
from embudget.pairs import Pairs, build_from, index_pairs, load_pairs, token_stats
from embudget.pairs.splitting import Split
from tests.command_line import Run

from .conftest import MadeSource, made_pairs


def write(path: Path, start: int, stop: int, names: tuple[str, str] = ("query", "positive")) -> None:
    sides = [[f"what is {row}" for row in range(start, stop)], [f"{row} plus zero" for row in range(start, stop)]]
    pq.write_table(pa.table([pa.array(side, pa.string()) for side in sides], names), path)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(3):
        write(folder / f"train-{number:05d}-of-00003.parquet", 100 * number, 100 * number + 100)
    write(folder / "validation-00000-of-00001.parquet", 300, 320)
    return folder


def test_shards_become_pairs_where_they_are(shards: Path) -> None:
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    pairs = index_pairs(shards)
    assert {path.name: path.read_bytes() for path in shards.iterdir() if path.suffix == ".parquet"} == before
    assert {path.name for path in shards.iterdir()} - set(before) == {"pairs.json"}
    assert [pairs.rows(split) for split in ("train", "validation", "test")] == [300, 20, 0]
    assert pairs.read("train", 99, 201)["query"].to_pylist() == [f"what is {row}" for row in range(99, 201)]
    assert pairs.table("test").num_rows == 0
    assert load_pairs(shards) == pairs


def test_the_hash_is_of_the_content_not_of_the_place(shards: Path, tmp_path: Path) -> None:
    first = index_pairs(shards)
    assert index_pairs(shards) == first
    moved = shards.rename(tmp_path / "moved")
    assert index_pairs(moved).hash == first.hash
    write(moved / "train-00001-of-00003.parquet", 101, 201)
    with pytest.raises(PairsError, match=r"train-00001-of-00003.parquet is damaged: .*; index the folder again$"):
        load_pairs(moved)
    assert index_pairs(moved).hash != first.hash


def test_which_column_is_which_changes_the_hash(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "validation")):
        write(tmp_path / f"{split}.parquet", 9 * number, 9 * number + 9, ("anchor", "positive"))
    first = index_pairs(tmp_path)
    assert first.table("train")["query"].to_pylist()[0] == "what is 0"
    turned = index_pairs(tmp_path, query_column="positive", positive_column="anchor")
    assert turned.table("train")["query"].to_pylist()[0] == "0 plus zero"
    assert turned.hash != first.hash


def test_the_command(run: Run, shards: Path) -> None:
    done = run("pairs", "index", shards)
    assert done.code == 0, done.err
    assert "300" in done.out and "content hash" in done.out
    assert "what is 0" in run("pairs", "show", shards, "-n", 1).out


def _no_validation(folder: Path) -> None:
    (folder / "validation-00000-of-00001.parquet").unlink()


def _lost_shard(folder: Path) -> None:
    (folder / "train-00001-of-00003.parquet").unlink()


def _two_sets(folder: Path) -> None:
    write(folder / "train.parquet", 0, 3)


def _two_counts(folder: Path) -> None:
    write(folder / "train-00000-of-00001.parquet", 0, 3)


def _no_parquet(folder: Path) -> None:
    (folder / "train-00002-of-00003.parquet").write_text("no Parquet")


def _other_columns(folder: Path) -> None:
    write(folder / "train-00002-of-00003.parquet", 0, 3, ("query", "reply"))


def _numbers(folder: Path) -> None:
    table = pa.table({"query": ["a"], "positive": [1]})
    pq.write_table(table, folder / "train-00002-of-00003.parquet")


def _nulls(folder: Path) -> None:
    columns = {"extra": [{"query": None}], "query": ["a"], "positive": pa.array([None], pa.string())}
    pq.write_table(pa.table(columns), folder / "train-00002-of-00003.parquet")


def _empty(folder: Path) -> None:
    write(folder / "validation-00000-of-00001.parquet", 0, 0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_validation, "must hold validation*.parquet, got no such file"),
        (_lost_shard, "train-00001-of-00003.parquet is missing"),
        (_two_sets, "must hold one set of train files, got train-00000-of-00003.parquet and train.parquet"),
        (_two_counts, "must hold one set of train files, got train-of-00001 and train-of-00003"),
        (_no_parquet, "train-00002-of-00003.parquet: not valid Parquet: "),
        (_other_columns, "train-00002-of-00003.parquet: column 'positive' is missing; there are query, reply"),
        (_numbers, "train-00002-of-00003.parquet: column 'positive' must hold strings, got int64"),
        (_nulls, "train-00002-of-00003.parquet: column 'positive' must have no nulls, got 1"),
        (_empty, "must hold at least 1 validation pair, got 0"),
    ],
)
def test_a_folder_that_breaks_a_rule_is_one_line(run: Run, shards: Path, spoil: object, message: str) -> None:
    assert callable(spoil)
    spoil(shards)
    done = run("pairs", "index", shards)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (shards / "pairs.json").exists()


@pytest.mark.parametrize(
    ("columns", "layout", "why"),
    [
        ({"sentence1": "a", "sentence2": "b", "score": 0.0}, "scored pairs", "its scores say which rows are pairs"),
        ({"query": "a", "pos": ["b"], "neg": ["c"]}, "FlagEmbedding", "column 'pos' holds several positives a row"),
    ],
    ids=["scored", "lists"],
)
def test_rows_that_are_no_pairs_as_they_stand_are_refused(
    tmp_path: Path, columns: dict[str, object], layout: str, why: str
) -> None:
    """An index takes rows as they are: a row of score 0 would be trained on as a right answer."""
    for split in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist([columns] * 9), tmp_path / f"{split}.parquet")
    with pytest.raises(PairsError) as raised:
        index_pairs(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}/train.parquet: rows of the layout {layout} cannot be indexed, because {why}: build pairs of them "
        f"(embudget pairs build files:{tmp_path}), or name two columns of texts"
    )
    assert not (tmp_path / "pairs.json").exists()


def test_bad_arguments_are_one_line(run: Run, shards: Path, tmp_path: Path) -> None:
    for arguments, message in [
        ((shards / "nowhere",), "folder must be one that holds train*.parquet and validation*.parquet, got "),
        ((shards, "--query-column", "query"), "--query-column and --positive-column must be given together"),
        ((shards, "--query-column", "q", "--positive-column", "positive"), "column 'q' is missing"),
    ]:
        done = run("pairs", "index", *arguments)
        assert done.code == 2
        assert message in done.err and done.err.count("\n") == 1


def test_built_pairs_are_not_indexed_over(tmp_path: Path) -> None:
    pairs = build_from([MadeSource(made_pairs(20, 5))], tmp_path / "pairs")
    before = (pairs.folder / "pairs.json").read_bytes()
    with pytest.raises(
        PairsError, match=r"^folder must hold files of yours to index; .*pairs holds pairs that embudget built$"
    ):
        index_pairs(pairs.folder)
    assert (pairs.folder / "pairs.json").read_bytes() == before


def test_indexed_files_are_not_built_over(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "validation")):
        write(tmp_path / f"{split}.parquet", 9 * number, 9 * number + 9)
    index_pairs(tmp_path)
    with pytest.raises(PairsError, match=r"holds files of yours that were indexed$"):
        build_from([MadeSource(made_pairs(20, 5))], tmp_path)
    assert load_pairs(tmp_path).rows("train") == 9


def test_indexing_again_keeps_the_token_statistics(shards: Path, tiny_llama: Path) -> None:
    stats = token_stats(index_pairs(shards), str(tiny_llama))
    assert list(index_pairs(shards).info.tokens.values()) == [stats]
    write(shards / "train-00001-of-00003.parquet", 101, 201)
    assert index_pairs(shards).info.tokens == {}
    assert json.loads((shards / "pairs.json").read_text())["tokens"] == {}


def test_lengths_are_of_rows_from_all_over_the_files(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first shard holds titles, the others passages."""
    for number in range(4):
        rows = range(250 * number, 250 * number + 250)
        passages = [f"{row} plus zero" + ", as anybody knows who has counted up to it" * (number > 0) for row in rows]
        table = pa.table({"query": [f"what is {row}" for row in rows], "positive": passages})
        pq.write_table(table, tmp_path / f"train-{number:05d}-of-00004.parquet", row_group_size=40)
    write(tmp_path / "validation.parquet", 5000, 5020)
    whole = token_stats(index_pairs(tmp_path), str(tiny_llama))
    assert whole.pairs == 1000 and whole.positive_quantiles.p5 < 0.5 * whole.positive_quantiles.p50
    (tmp_path / "pairs.json").unlink()
    monkeypatch.setattr("embudget.pairs.tokens.SAMPLE", 200)
    sampled = token_stats(index_pairs(tmp_path), str(tiny_llama))
    assert sampled.pairs == 200
    assert sampled.tokens_per_pair == pytest.approx(whole.tokens_per_pair, rel=0.02)


@pytest.mark.parametrize("rows", [201, 219, 1000, 4321])
def test_the_sample_takes_no_row_twice(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("embudget.pairs.tokens.SAMPLE", 200)
    write(tmp_path / "train.parquet", 0, rows)
    write(tmp_path / "validation.parquet", 5000, 5020)
    read: list[int] = []
    whole = Pairs.read

    def watched(pairs: Pairs, split: Split, start: int, stop: int) -> pa.Table:
        read.extend(range(start, stop))
        return whole(pairs, split, start, stop)

    monkeypatch.setattr(Pairs, "read", watched)
    assert token_stats(index_pairs(tmp_path), str(tiny_llama)).pairs == 200
    assert len(set(read)) == 200
    assert min(read) < rows / 20 and max(read) >= rows - rows / 20
    assert set(read) <= set(range(rows))


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("change", [str, " {} ".format, "{}\n".format])
def test_a_held_out_query_in_train_is_refused(run: Run, shards: Path, split: str, change: object) -> None:
    assert callable(change)
    texts = ["a new one", change("what is 150"), "another one", "what is 7"]
    table = pa.table({"query": texts, "positive": [f"{n} is an answer" for n in range(4)]})
    pq.write_table(table, shards / f"{split}-00000-of-00001.parquet")
    done = run("pairs", "index", shards)
    assert done.code == 2 and done.err.count("\n") == 1
    place = f"{split}-00000-of-00001.parquet row 2 ('what is 150')"
    assert f"{split} queries must not be in train: {place} is, 2 in all; take them out" in done.err
    assert not (shards / "pairs.json").exists()


def test_an_equal_positive_is_no_leak(shards: Path) -> None:
    table = pa.table({"query": ["a new one", "another"], "positive": ["5 plus zero", "7 plus zero"]})
    pq.write_table(table, shards / "validation-00000-of-00001.parquet")
    assert index_pairs(shards).rows("validation") == 2


def test_columns_that_are_not_used_are_named(run: Run, shards: Path) -> None:
    table = pa.table({"query": ["v"], "positive": ["w"], "title": ["x"], "group": ["g"], "score": [1.0]})
    for number in range(3):
        pq.write_table(table, shards / f"train-{number:05d}-of-00003.parquet")
    done = run("pairs", "index", shards)
    assert done.code == 0 and done.err == "index: not used: column title, score\n"
    assert load_pairs(shards).info.sources["index"].ignored_columns == ("title", "score")


def test_columns_of_hard_negatives_are_used_where_they_are(run: Run, shards: Path) -> None:
    plain = index_pairs(shards)
    assert plain.table("train").column_names == ["query", "positive", "group", "source"]
    first = pq.read_table(shards / "train-00000-of-00003.parquet")
    nothing = pa.array([None] * 100, pa.string())
    for name, column in [("negative_1", pa.array([f"no {row}" for row in range(100)])), ("negative_2", nothing)]:
        first = first.append_column(name, column)
    pq.write_table(first, shards / "train-00000-of-00003.parquet")
    done = run("pairs", "index", shards)
    assert done.code == 0 and done.err == "index: read as pairs: query, positive, negative_1, negative_2\n"
    pairs = load_pairs(shards)
    assert pairs.hash != plain.hash
    assert pairs.read("train", 98, 102)["negatives"].to_pylist() == [["no 98"], ["no 99"], None, None]
    assert "negatives" not in pairs.table("validation").column_names


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string())])
def test_lists_of_hard_negatives(shards: Path, kind: pa.DataType) -> None:
    lists = pa.array([["a", "", "b"], None, [], ["c"]] * 25, kind)
    first = pq.read_table(shards / "train-00000-of-00003.parquet").append_column("negatives", lists)
    pq.write_table(first, shards / "train-00000-of-00003.parquet")
    table = index_pairs(shards).read("train", 0, 4)
    assert table.schema.field("negatives").type == pa.list_(pa.string())
    assert [list(row or ()) for row in table["negatives"].to_pylist()] == [["a", "b"], [], [], ["c"]]


def test_negatives_that_are_no_texts_are_refused(run: Run, shards: Path) -> None:
    first = pq.read_table(shards / "train-00000-of-00003.parquet").append_column("negative", pa.array([1] * 100))
    pq.write_table(first, shards / "train-00000-of-00003.parquet")
    done = run("pairs", "index", shards)
    assert done.code == 2 and done.err.count("\n") == 1
    assert "column 'negative' must hold strings or lists of them, got int64" in done.err
