"""The committed records: they come back from their lines, and a store only adds to them."""

from pathlib import Path

from embudget.study import Store
from studies.publish.files import read_lines, read_records, write_lines
from tests.studies.publish.made import record


def test_records_come_back_from_their_lines(tmp_path: Path) -> None:
    records = [record(2.5, 0.5), record(2.75, seed=1)]
    write_lines(tmp_path / "records.jsonl", records)
    assert read_records(tmp_path) == records


def test_a_store_adds_to_the_committed_records_and_takes_none_away(tmp_path: Path) -> None:
    write_lines(tmp_path / "records.jsonl", [record(2.5, 0.5)])
    with Store(tmp_path / "study.db") as store:
        store.add(record(2.75, seed=1))
    assert sorted(found.loss or 0 for found in read_records(tmp_path)) == [2.5, 2.75]
    assert len(read_lines(tmp_path / "records.jsonl")) == 2
