import pytest

from embudget.exports.licences import Terms, inherited, terms_of


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("Apache-2.0", "permissive"),
        ("Apache Software License; MIT License", "permissive"),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", "permissive"),
        ("Apache-2.0 WITH LLVM-exception", "permissive"),
        ("MIT OR GPL-2.0-only", "permissive"),
        ("Python Software Foundation License", "permissive"),
        ("MIT AND (Apache-2.0 OR GPL-2.0-only) AND GPL-3.0", "share-alike"),
        ("BSD-3-Clause AND (MIT OR GPL-2.0-only)", "permissive"),
        ("GPLv2+", "share-alike"),
        ("GNU General Public License v3 (GPLv3)", "share-alike"),
        ("cc-by-sa-4.0", "share-alike"),
        ("GFDL-1.3-or-later", "share-alike"),
        ("cc-by-nc-sa-4.0", "non-commercial"),
        ("for non-commercial use only", "non-commercial"),
        ("cc-by-nc-nd-4.0", "no derivatives"),
        ("gemma", "own terms"),
        ("llama3.2", "own terms"),
        ("BSL-1.0", "permissive"),
        ("BUSL-1.1", "own terms"),
        ("Business Source License 1.1 (BSL 1.1)", "own terms"),
        ("Apache-2.0 with Commons Clause", "own terms"),
        ("house rules", "unknown"),
        ("", "unknown"),
    ],
)
def test_licences_are_known_by_the_words_of_their_names(licence: str, terms: Terms) -> None:
    assert terms_of(licence) == terms


def test_a_model_has_the_licence_of_its_start_where_its_data_ask_for_no_more() -> None:
    assert inherited("Apache-2.0", [("numpy", "BSD-3-Clause"), ("sympy", "MIT")]) == ("apache-2.0", None, ())
    assert inherited("Some Licence of MIT kind", [])[:2] == ("other", "Some Licence of MIT kind")
    assert inherited("gpl-3.0", [("a", "GPL-2.0")]).licence == "gpl-3.0"


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC-BY-NC-4.0", "msmarco (CC-BY-NC-4.0) forbids commercial use, and the start's licence is apache-2.0"),
        ("cc-by-sa-3.0", "msmarco (cc-by-sa-3.0) asks that what is derived has the same licence"),
        ("cc-by-nd-4.0", "msmarco (cc-by-nd-4.0) forbids derived works"),
    ],
)
def test_data_that_ask_for_more_are_a_conflict_and_no_licence_is_named(licence: str, said: str) -> None:
    verdict = inherited("apache-2.0", [("numpy", "MIT"), ("msmarco", licence)])
    assert verdict.licence == "other"
    assert [line.startswith(f"Conflict: {said}") for line in verdict.remarks] == [True]


def test_what_is_unknown_is_said_and_nothing_is_invented() -> None:
    assert inherited("", [("numpy", "MIT")]) == ("unknown", None, ("The licence of the start is unknown.",))
    verdict = inherited("mit", [("mine.jsonl", ""), ("theirs", "house rules")])
    assert verdict.licence == "mit"
    assert verdict.remarks == ("The licence of mine.jsonl (none named) and theirs (house rules) is unknown.",)
    many = inherited("mit", [(f"part{number}", "") for number in range(40)])
    assert "and 37 more is unknown" in many.remarks[0], "a card does not list forty names in a sentence"


@pytest.mark.parametrize(
    ("start", "data", "conflict"),
    [
        ("gpl-3.0", "cc-by-sa-4.0", True),
        ("gpl-3.0", "GPL-2.0-only", False),
        ("gemma", "llama3.2", True),
        ("llama3.1", "llama3.2", False),
        ("cc-by-nc-4.0", "cc-by-nc-nd-4.0", True),
    ],
)
def test_two_licences_of_one_kind_conflict_unless_they_are_one(start: str, data: str, conflict: bool) -> None:
    """Each share-alike licence asks that what is derived is under itself, each maker for terms of its own."""
    verdict = inherited(start, [("msmarco", data)])
    assert (verdict.licence == "other") is conflict
    assert any(line.startswith(f"Conflict: msmarco ({data})") for line in verdict.remarks) is conflict
