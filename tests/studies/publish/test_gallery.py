"""The pictures of the page of figures: small, of the first study that has something to show, and none left behind."""

import json
from pathlib import Path

import pytest
from PIL import Image

from embudget.errors import FigureError
from embudget.laws import find_laws
from studies.publish.gallery import MOST_BYTES, StudyData, shrink, write_gallery


def data_of(study: str) -> StudyData:
    """Only micro has bias-only runs."""
    return StudyData(find_laws("smollm2" if study == "smollm2" else "micro"), [], None)


def test_a_figure_is_of_the_first_study_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "gone.png").write_bytes(b"of a figure that is no more")
    write_gallery(tmp_path, ("frontier", "isoflop-bias"), data_of)
    assert json.loads((tmp_path / "studies.json").read_text()) == {"frontier": "smollm2", "isoflop-bias": "micro"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frontier.png", "isoflop-bias.png", "studies.json"]
    assert max(path.stat().st_size for path in tmp_path.glob("*.png")) <= MOST_BYTES


def test_a_figure_that_no_study_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(FigureError, match="no study has anything to show in the figure frontier: smollm2: "):
        write_gallery(tmp_path, ("frontier",), lambda study: StudyData(None, [], None))


def test_a_picture_that_is_too_large_becomes_narrower(tmp_path: Path) -> None:
    noise = Image.effect_noise((900, 500), 200)
    noise.save(tmp_path / "printed.png")
    shrink(tmp_path / "printed.png", tmp_path / "small.png")
    with Image.open(tmp_path / "small.png") as small:
        assert small.width < 900
        assert abs(small.width / small.height - 900 / 500) < 0.02
