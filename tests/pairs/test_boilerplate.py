"""What a template wrote is capped by source; what only resembles it stays."""

from pathlib import Path

import pytest

from embudget.pairs import RawPair, Rules, build_from
from embudget.pairs.boilerplate import template
from tests.pairs.conftest import MadeSource, made_pairs

COMMON = {"development", "files", "for", "the", "of", "a", "in", "is"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("development files for libfoo", "development files for *"),
        ("development files for libfoo two", "development files for *"),
        ("the king of a country", ""),  # three common words, but two masks
        ("the files of the development", "the files of the development"),
        ("of the snibble", ""),
        ("the snibble wumped blithely over files for grobbles", ""),
        ("", ""),
    ],
)
def test_a_template_is_a_text_without_its_names(text: str, expected: str) -> None:
    assert " ".join(template(text.split(), COMMON)) == expected


def name(number: int) -> str:
    return "".join(chr(ord("a") + number // 26**place % 26) for place in range(3)) + "ib"


def packages(count: int) -> list[RawPair]:
    """Short descriptions that differ in a name only; the long ones have nothing in common."""
    long = made_pairs(20, 28)
    return [
        RawPair(f"development files for {name(number)}", long[number].positive, f"package{number}")
        for number in range(count)
    ]


def kept(folder: Path, pairs: list[RawPair], most: int | None) -> tuple[int, dict[str, int]]:
    source = MadeSource(pairs, rules=Rules(same_template=most))
    built = build_from([source], folder)
    return sum(built.info.sources["made"].pairs.values()), built.info.sources["made"].dropped  # type: ignore[return-value]


def test_a_template_keeps_so_many_pairs(tmp_path: Path) -> None:
    pairs = packages(200)
    count, dropped = kept(tmp_path / "capped", pairs, 50)
    assert (count, dropped["boilerplate"]) == (50, 150)
    count, dropped = kept(tmp_path / "whole", pairs, None)
    assert count == 200
    assert "boilerplate" not in dropped


def test_which_pairs_stay_does_not_depend_on_their_order(tmp_path: Path) -> None:
    """The first ones would be those of the packages at the beginning of the alphabet."""
    pairs = packages(200)
    built = [
        build_from([MadeSource(order)], tmp_path / f"{number}") for number, order in enumerate((pairs, pairs[::-1]))
    ]
    assert built[0].hash == built[1].hash
    groups = {int(group.removeprefix("made/package")) for group in built[0].table("train").column("group").to_pylist()}
    assert max(groups) > 150


def test_templates_are_those_of_one_source(tmp_path: Path) -> None:
    pairs = packages(200)
    sources = [MadeSource(pairs[:100], "first", Rules(same_template=60)), MadeSource(pairs[100:], "second")]
    built = build_from(sources, tmp_path / "out")
    assert built.info.sources["first"].dropped["boilerplate"] == 40
    assert built.info.sources["second"].dropped["boilerplate"] == 50
