"""The page of figures: it shows whatever the catalogue has, and a picture that is missing breaks the build by name."""

import json
import sys
from pathlib import Path

import pytest
from sphinx.errors import ExtensionError

from embudget.figures import FIGURES
from tests.docs.pages import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from generated import figures  # type: ignore[import-not-found]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in FIGURES:
        (folder / f"{name}.png").write_bytes(b"\x89PNG")
    (folder / "studies.json").write_text(json.dumps(dict.fromkeys(FIGURES, "smollm2")))
    return folder


def test_every_figure_has_its_section_picture_caption_and_number(pictures: Path) -> None:
    sections = ("\n" + figures(pictures)).split("\n## ")[1:]
    assert [text.partition("\n")[0] for text in sections] == list(FIGURES)
    for text, (name, kind) in zip(sections, FIGURES.items(), strict=True):
        assert f"](../figures/{name}.png)" in text
        assert " ".join(kind.caption.split()) in text
        assert ("the paper's figure" in text) == (kind.paper is not None)
        assert f"--only {name}\n" in text


@pytest.mark.parametrize("lost", ["ranks.png", "studies.json"])
def test_a_missing_picture_names_the_command_that_makes_it(pictures: Path, lost: str) -> None:
    (pictures / lost).unlink()
    with pytest.raises(ExtensionError, match=r"is missing .*: run python -m studies\.publish\.gallery"):
        figures(pictures)


def test_no_picture_makes_the_page_slow() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "figures").glob("*.png")}
    assert sizes and max(sizes.values()) <= 60_000, sizes
