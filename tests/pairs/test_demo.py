"""The demo has enough pairs to study with, and enough groups to measure on."""

from collections import Counter
from pathlib import Path

import pytest

from embudget.pairs import build_pairs
from embudget.pairs.sample import draw_evenly
from embudget.pairs.splitting import SPLITS


@pytest.mark.slow
def test_the_demo_is_large_enough_and_does_not_leak(tmp_path: Path) -> None:
    pairs = build_pairs(["demo"], tmp_path / "demo")
    assert pairs.rows("train") >= 100_000
    assert pairs.rows("validation") >= 1024
    assert pairs.rows("test") >= 2000
    for source in pairs.info.sources.values():
        assert min(source.pairs.values()) >= 1000
    for split in ("validation", "test"):
        drawn = Counter(pair.group for pair in draw_evenly(pairs, split, 1024))
        assert len(drawn) >= 350 and max(drawn.values()) <= 10 and sum(drawn.values()) == 1024
        of_sources = Counter(group.partition("/")[0] for group in drawn.elements())
        assert max(of_sources.values()) - min(of_sources.values()) <= 1
    groups = [set(pairs.table(split).column("group").to_pylist()) for split in SPLITS]
    assert len(set.union(*groups)) == sum(map(len, groups))
