"""Pairs of WordNet, the dictionary and the package lists, and what is said if one is missing."""

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair, build_from
from embudget.pairs.sources.debian import Debian, pairs_of_dictionary, pairs_of_packages, pairs_of_wordnet

WORDNET = """  1 This software and database is being provided to you | as is
00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 | that which is perceived to have its own existence
02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 002 @ 02083346 n 0000 | a member of the genus Canis; \
"the dog barked all night"; "a dog is loyal"
"""
ENTRY = """Biscuit \\Bis"cuit\\, n. [F. biscuit (cf. It. biscotto), fr. L.
   bis twice. See {Cook}.]
   1. A kind of {unraised} bread, of many varieties.
      [1913 Webster]
"""
RECORDS = """Package: curl
Section: web
Description-en: command line tool for transferring data
 curl is a command line tool.
 It supports many protocols.
 .
 It is used everywhere.
Description-md5: 0

Package: nothing
Section: non-free/libs
Description: a package without a long description
Description-md5: 1
"""
PACKAGE = RawPair(
    "command line tool for transferring data",
    "curl is a command line tool. It supports many protocols.\nIt is used everywhere.",
    "section-web",
)


def test_wordnet() -> None:
    assert list(pairs_of_wordnet(WORDNET.splitlines())) == [
        RawPair(
            "dog, domestic dog, Canis familiaris: a member of the genus Canis",
            "the dog barked all night; a dog is loyal",
            "wordnet-05",
        )
    ]


def test_dictionary() -> None:
    text = b"x" * 70 + ENTRY.encode()
    length = len(ENTRY.encode())
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    index = f"00-database-info\tA\tB\nbiscuit\tBG\t{digits[length // 64]}{digits[length % 64]}\n"
    assert list(pairs_of_dictionary(index, text)) == [
        RawPair("biscuit", "1. A kind of unraised bread, of many varieties.", "gcide-bi")
    ]


def test_packages() -> None:
    assert list(pairs_of_packages(RECORDS)) == [PACKAGE]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debian:
    for name in ("data.adj", "data.adv", "data.noun", "data.verb"):
        (tmp_path / name).write_text(WORDNET if name == "data.noun" else "")
    (tmp_path / "gcide.index").write_text("biscuit\tA\tDA\n")
    (tmp_path / "gcide.dict.dz").write_bytes(gzip.compress(ENTRY.encode()))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    answer = subprocess.CompletedProcess([], 0, stdout=RECORDS.encode())
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    return Debian(str(tmp_path), str(tmp_path))


def test_all_three_together(installed: Debian, tmp_path: Path) -> None:
    pairs = build_from([installed], tmp_path / "out")
    assert sum(pairs.rows(split) for split in ("train", "validation", "test")) == 3
    assert pairs.info.sources["debian"].licences.keys() == pairs.info.request.versions.keys()


def test_what_is_missing_is_named(installed: Debian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = subprocess.CompletedProcess([], 0, stdout=b"Package: curl\nDescription: a tool\n")
    with monkeypatch.context() as changed:
        changed.setattr(subprocess, "run", lambda *args, **options: bare)
        with pytest.raises(PairsError, match=r"^apt has no long descriptions; get them with: apt-get -o "):
            installed.versions()
    with monkeypatch.context() as changed:
        changed.setattr(shutil, "which", lambda name: None)
        with pytest.raises(PairsError, match=r"^apt-cache is missing: the source debian needs Debian or Ubuntu$"):
            installed.versions()
    (tmp_path / "gcide.dict.dz").unlink()
    with pytest.raises(
        PairsError, match=r"gcide.dict.dz is missing; get it with: apt-get install wordnet-base dict-gc"
    ):
        installed.versions()


def test_a_damaged_dictionary_is_one_line(installed: Debian, tmp_path: Path) -> None:
    (tmp_path / "gcide.dict.dz").write_bytes(b"damaged")
    with pytest.raises(PairsError, match=r"^cannot read the dictionaries: .*; get it with: apt-get install"):
        list(installed.read())
