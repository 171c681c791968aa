"""Where stores lie."""

from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.study.location import Location


def test_stores_are_told_apart_whoever_logs_in_and_from_whatever_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Location("s.db").apart == Location(f"sqlite:///{tmp_path}/s.db").apart != Location("t.db").apart
    mine, yours = (Location(f"postgresql://{who}:secret@host/study").apart for who in ("me", "you"))
    assert mine == yours != Location("postgresql://me@host/other").apart
    assert "secret" not in mine
    with pytest.raises(ConfigError, match="no job can reach a store in memory"):
        _ = Location("sqlite://").apart
