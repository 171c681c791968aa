"""Pairs of the descriptions that apt knows, read by the real apt from lists written here."""

import hashlib
import shutil
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.sources.apt import Apt, pairs_of_packages

PREFIX = "example.invalid_debian_dists_stable_"
SHORT = "tool that moves snibbles"
LONG = " Snib moves snibbles.\n It can:\n  * move them\n  * move them back\n .\n It needs no network.\n"
PAIR = RawPair(SHORT, "Snib moves snibbles. It can:\nmove them\nmove them back\nIt needs no network.", "snibble")
MD5 = hashlib.md5(f"{SHORT}\n{LONG}".encode(), usedforsecurity=False).hexdigest()
PACKAGES = f"""Package: snib
Source: snibble (1.2-3)
Version: 1.2-3+b1
Architecture: amd64
Description: {SHORT}
Description-md5: {MD5}

Package: short
Version: 1
Architecture: amd64
Description: a package without a long description
Description-md5: {"0" * 32}

"""
TRANSLATION = f"Package: snib\nDescription-md5: {MD5}\nDescription-en: {SHORT}\n{LONG}\n"
RELEASE = f"""Origin: made up
Suite: stable
Codename: stable
Architectures: amd64
Components: main
Date: Thu, 01 Jan 2026 00:00:00 UTC
MD5Sum:
 {"0" * 32} 0 main/binary-amd64/Packages
 {"0" * 32} 0 main/i18n/Translation-en
"""


def test_a_binary_package_is_in_the_group_of_its_source() -> None:
    assert list(pairs_of_packages([PACKAGES, PACKAGES], [TRANSLATION])) == [PAIR]


def test_a_description_may_stand_in_the_list_itself() -> None:
    """As in repositories of their own, which have no translations."""
    record = f"Package: snibble\nDescription: {SHORT}\n{LONG}Section: net\n"
    assert list(pairs_of_packages([record], [])) == [PAIR]


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the lists of an apt that has one repository, and leaves out descriptions as in a container."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt")
    folder = tmp_path / "state" / "lists"
    for path in (folder / "partial", tmp_path / "cache" / "archives" / "partial", tmp_path / "etc"):
        path.mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "etc" / "sources.list").write_text(
        "deb [trusted=yes arch=amd64] http://example.invalid/debian stable main\n"
    )
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc "{tmp_path}/etc";\nDir::State "{tmp_path}/state";\nDir::Cache "{tmp_path}/cache";\n'
        f'Dir::State::status "{tmp_path}/status";\nAPT::Architecture "amd64";\nAcquire::Languages {{ "none"; }};\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    return folder


def test_apt_says_where_its_lists_are(lists: Path) -> None:
    (lists / f"{PREFIX}Release").write_text(RELEASE)
    (lists / f"{PREFIX}main_binary-amd64_Packages").write_text(PACKAGES)
    (lists / f"{PREFIX}main_i18n_Translation-en").write_text(TRANSLATION)
    source = Apt()
    assert list(source.read()) == [PAIR]
    assert source.versions().keys() == source.licences().keys()


def test_the_version_changes_with_the_descriptions_only(lists: Path) -> None:
    (lists / f"{PREFIX}Release").write_text(RELEASE)
    (lists / f"{PREFIX}main_binary-amd64_Packages").write_text(PACKAGES)
    (lists / f"{PREFIX}main_i18n_Translation-en").write_text(TRANSLATION)
    first = Apt().versions()
    (lists / f"{PREFIX}main_binary-amd64_Packages").write_text(PACKAGES.replace("1.2-3+b1", "1.2-3+b2"))
    assert Apt().versions() == first
    (lists / f"{PREFIX}main_i18n_Translation-en").write_text(TRANSLATION.replace("network", "server"))
    assert Apt().versions() != first


def test_what_is_missing_is_named(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = "get them with: apt-get -o Acquire::Languages=en update$"
    with pytest.raises(PairsError, match=rf"^apt has no lists of packages; {update}"):
        Apt().versions()
    (lists / f"{PREFIX}Release").write_text(RELEASE)
    (lists / f"{PREFIX}main_binary-amd64_Packages").write_text(PACKAGES)
    with pytest.raises(PairsError, match=rf"^apt has no long descriptions; {update}"):
        Apt().versions()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PairsError, match=r"^apt-get is missing: the source apt needs Debian or Ubuntu$"):
        Apt().versions()
