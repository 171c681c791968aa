"""Pairs of WordNet, GCIDE and FOLDOC, in files laid out as the Debian packages lay them out."""

import gzip
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair, build_from
from embudget.pairs.sources.dictd import is_reference
from embudget.pairs.sources.foldoc import Foldoc, pair_of_foldoc
from embudget.pairs.sources.gcide import Gcide, pairs_of_gcide
from embudget.pairs.sources.lemma import lemma
from embudget.pairs.sources.wordnet import WordNet, pairs_of_wordnet

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
WORDNET = """  1 This software and database is being provided to you | as is
00001740 03 n 01 grobble 0 003 ~ 00001930 n 0000 | that which is made up for a test
02084071 05 n 03 snib 0 house_snib 0 Snibus_minor 0 002 @ 02083346 n 0000 | a small animal; "the snib sang"; \
"a \tsnib sleeps"- A. Writer
00002000 00 s 01 wumpy(p) 0 000 | of a colour; between two others
"""
GROBBLE = """Grobble \\Grob"ble\\ (gr[o^]b"b'l), n.; pl. {-bles} (-b'lz). [OE. grob,
   grobbe; cf. {Grub}.] (Zo["o]l.)
   [1913 Webster]
   1. A kind of {na['i]ve} worm that sings. [Obs.] "He heard the
      grobble." --Sir T. Writer.
      [1913 Webster]

            Sing, grobble, sing.               --Poet.
      [1913 Webster]

   Note: It is never seen.

   2. (Naut.) A rope of [ae]ther; -- called also {grub rope}. See
      {Rope}. -- {Grob"bly}, adv.
      [1913 Webster]

   Syn: worm; singer.

   {Grobble bag}, or {Grub bag}, a bag in which grobbles are
      kept. See {Bag}.

   {Grobble hat}. See under {Hat}.
"""
WRUMP = """Wrump \\Wrump\\, v. t. & i. [imp. & p. p. {Wrumped}.]
   To move sideways, as a crab does.
   [1913 Webster] Wrumper
"""
REFERENCE = 'Grubble \\Grub"ble\\, n.\n   See {Grobble}.\n   [1913 Webster]\n'
FOLDOC_ENTRY = """Snibble Transfer Protocol
STP

   <networking, protocol> (STP) A {protocol} that moves snibbles.

   It was {never} used.  {Home (http://example.com/)}.

    snib --move

   ["Snibbles", A. Writer, 1999].

   [Details?]

   (1999-01-02)
"""


def write_dictionary(folder: Path, name: str, entries: dict[str, str]) -> None:
    """Store entries as dictfmt does, each headword in a line of the index."""
    folder.mkdir(exist_ok=True)
    text, index = b"", ""
    for headword, entry in {"00-database-info": "about it", **entries}.items():
        index += f"{headword}\t{base64(len(text))}\t{base64(len(entry.encode()))}\n"
        text += entry.encode()
    (folder / f"{name}.index").write_text(index)
    (folder / f"{name}.dict.dz").write_bytes(gzip.compress(text))


def base64(number: int) -> str:
    return (base64(number // 64) if number >= 64 else "") + DIGITS[number % 64]


def write_wordnet(folder: Path) -> None:
    folder.mkdir()
    for name in WordNet.files:
        (folder / name).write_text(WORDNET if name == "data.noun" else "")


def test_a_synset_is_one_pair() -> None:
    """If the gloss were a query here and a positive there, one pair of a batch would be a false negative of another."""
    assert list(pairs_of_wordnet(WORDNET.splitlines())) == [
        RawPair("grobble (noun)", "that which is made up for a test", "grobble"),
        RawPair("snib, house snib, Snibus minor: a small animal", "the snib sang; a \tsnib sleeps", "snib"),
        RawPair("wumpy (adjective)", "of a colour; between two others", "wumpy"),
    ]


def test_gcide_keeps_senses_and_phrases_without_markup() -> None:
    assert list(pairs_of_gcide(GROBBLE)) == [
        RawPair(
            "Grobble (noun)",
            "1. A kind of naíve worm that sings.\n2. A rope of æther; -- called also grub rope.",
            "grobble",
        ),
        RawPair("Grobble bag", "a bag in which grobbles are kept.", "grobble bag"),
    ]


def test_gcide_header_is_no_definition() -> None:
    assert list(pairs_of_gcide(WRUMP)) == [RawPair("Wrump (verb)", "To move sideways, as a crab does.", "wrump")]
    assert list(pairs_of_gcide(REFERENCE)) == []


@pytest.mark.parametrize("text", ["See hacker.", "Same as Weir.", "pl. of Ox.", "imp. of Take."])
def test_references_are_known(text: str) -> None:
    assert is_reference(text)
    assert not is_reference("Seeing is believing.")
    assert not is_reference(text + " It is a word of nine other words at least.")


def test_foldoc_keeps_prose_only() -> None:
    assert pair_of_foldoc(FOLDOC_ENTRY) == RawPair(
        "Snibble Transfer Protocol, STP",
        "A protocol that moves snibbles.\nIt was never used.",
        "snibble transfer protocol",
    )
    assert pair_of_foldoc("Snib\n\n   See {Snibble}.\n") is None


def test_a_word_is_one_group_over_all_dictionaries(tmp_path: Path) -> None:
    """Else a held-out definition in one dictionary would be trained on in another."""
    assert lemma("Grobble-Bag") == lemma("grobble bag") == "grobble bag"
    assert lemma("Café") == lemma("cafe")
    write_wordnet(tmp_path / "wordnet")
    as_verb = GROBBLE.replace(", n.;", ", v. i.;")  # a second noun would give way to WordNet's
    write_dictionary(tmp_path / "dictd", "gcide", {"grobble": as_verb, "wrump": WRUMP})
    write_dictionary(tmp_path / "dictd", "foldoc", {"grobble": "Grobble\n\n   <jargon> A program that eats words.\n"})
    sources = [WordNet(str(tmp_path / "wordnet")), Gcide(str(tmp_path / "dictd")), Foldoc(str(tmp_path / "dictd"))]
    pairs = build_from(sources, tmp_path / "out")
    tables = {split: pairs.table(split).to_pylist() for split in ("train", "validation", "test")}
    homes = {
        (row["source"], split) for split, rows in tables.items() for row in rows if row["group"] == "lemma/grobble"
    }
    assert {source for source, _ in homes} == {"wordnet", "gcide", "foldoc"}
    assert len({split for _, split in homes}) == 1
    for source in sources:
        assert pairs.info.sources[source.name].licences.keys() == {source.package}


@pytest.mark.parametrize("kind", [WordNet, Gcide, Foldoc])
def test_what_is_missing_or_damaged_is_one_line(kind: type[WordNet | Gcide | Foldoc], tmp_path: Path) -> None:
    source = kind(str(tmp_path))
    package = source.package
    with pytest.raises(PairsError, match=rf"^{tmp_path}/[\w.]+ is missing; get it with: apt-get install {package}$"):
        source.versions()
    for name in source.files:
        (tmp_path / name).write_bytes(b"00000000 aa | \xff")
    with pytest.raises(
        PairsError, match=rf"^cannot read .*; get it again with: apt-get install --reinstall {package}$"
    ):
        list(source.read())
