"""Pictures of a page: both themes, two widths, small enough to commit."""

from pathlib import Path

import pytest

from embudget.laws.builtin import find_laws
from embudget.report import write_report
from studies.publish import screenshots
from studies.publish.files import read_lines

pytestmark = pytest.mark.browser


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height, from the header of a PNG."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = read_lines(screenshots.STUDY)
    return write_report(tmp_path_factory.mktemp("page") / "report.html", records, find_laws("smollm2"))


def test_a_page_is_pictured_in_both_themes_and_widths(page: Path, tmp_path: Path) -> None:
    pictures = list(screenshots.take_pictures(page, tmp_path))
    assert len({picture.read_bytes() for picture in pictures}) == 8
    for picture in pictures:
        _, theme, width = picture.stem.split("-")
        assert theme in screenshots.THEMES
        assert size_of(picture) == (int(width), screenshots.WIDTHS[int(width)])


def test_a_picture_that_is_too_large_to_commit_is_refused(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screenshots, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"page-light-390\.png has .* bytes, more than 1,000"):
        list(screenshots.take_pictures(page, tmp_path))
