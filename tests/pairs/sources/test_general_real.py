"""`general` is built for real from the Debian packages; CI installs them."""

import re
from pathlib import Path

import pytest

from embudget.pairs import build_pairs
from embudget.pairs.sources import GENERAL, find_sources
from embudget.pairs.splitting import SPLITS

pytestmark = pytest.mark.slow


def test_general_is_large_enough_clean_and_does_not_leak(tmp_path: Path) -> None:
    pairs = build_pairs(["general"], tmp_path / "general")
    assert sum(map(pairs.rows, SPLITS)) >= 150_000
    assert pairs.info.sources.keys() == set(GENERAL)
    for source in pairs.info.sources.values():
        assert min(source.pairs.values()) >= 100
        assert set(source.licences.values()) != {""}
    tables = {split: pairs.table(split) for split in SPLITS}
    groups = {split: set(table.column("group").to_pylist()) for split, table in tables.items()}
    assert len(set.union(*groups.values())) == sum(map(len, groups.values()))
    assert min(map(len, groups.values())) >= 1000
    texts = [
        text for split in SPLITS for side in ("query", "positive") for text in tables[split].column(side).to_pylist()
    ]
    left = [text for text in texts if re.search(r"\[1913 Webster\]|\{[A-Z][^{}]*\}|^See [A-Z][\w-]*\.$", text)]
    assert len(left) <= 0.001 * len(texts), left[:10]


def test_packages_of_one_source_are_one_group() -> None:
    (source,) = find_sources(["apt"])
    described = {pair.query: pair.group for pair in source.read() if pair.group == "curl"}
    assert len(described) >= 3  # the tool, its library and what is needed to build with it
