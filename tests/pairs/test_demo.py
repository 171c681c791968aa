"""The demo has enough pairs to study with."""

from pathlib import Path

import pytest

from embudget.pairs import build_pairs
from embudget.pairs.splitting import SPLITS


@pytest.mark.slow
def test_the_demo_is_large_enough_and_does_not_leak(tmp_path: Path) -> None:
    pairs = build_pairs(["demo"], tmp_path / "demo")
    assert pairs.rows("train") >= 100_000
    assert pairs.rows("validation") >= 1024
    assert pairs.rows("test") >= 2000
    for source in pairs.info.sources.values():
        assert min(source.pairs.values()) >= 1000
    groups = [set(pairs.table(split).column("group").to_pylist()) for split in SPLITS]
    assert len(set.union(*groups)) == sum(map(len, groups))
