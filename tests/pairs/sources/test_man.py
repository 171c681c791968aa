"""Pairs of manual pages in both sets of macros, and of those that are installed."""

import gzip
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.sources.man import Man, pair_of_page

MAN = r"""'\" t
.\" A comment.
.TH SNIB 1 "2026" "Made up"
.SH NAME
snib \- move \fIsnibbles\fP
.SH SYNOPSIS
.B snib
[\-v]
.SH "DESCRIPTION"
.PP
.BR snib (1)
moves the snibbles in
.IR /var/snib ,
one by one\&.
.nf
code \-\- of no use
.fi
.TP
.B \-v
Say more.
.PP
It doesn\(aqt need \(lqroot\(rq.
.SH BUGS
Many.
"""
MDOC = r""".Dd January 1, 2026
.Dt SNIB 1
.Os
.Sh NAME
.Nm snib
.Nd move snibbles about
.Sh DESCRIPTION
The
.Nm
utility moves
.Ar file
with
.Fl v ,
see
.Xr snibd 8 .
.Bl -tag
.It Fl v
Say more.
.El
.Pp
It is fast.
"""


def test_a_page_in_the_macros_of_man() -> None:
    assert pair_of_page(MAN, "snib-utils") == RawPair(
        "snib: move snibbles",
        'snib(1) moves the snibbles in /var/snib, one by one.\nIt doesn\'t need "root".',
        "snib-utils",
    )


def test_a_page_in_the_macros_of_mdoc() -> None:
    pair = pair_of_page(MDOC, "snib")
    assert pair is not None
    assert pair[:2] == (
        "snib: move snibbles about",
        "The snib utility moves file with -v, see snibd(8).\nIt is fast.",
    )


def test_a_page_that_refers_to_another_has_no_pair() -> None:
    assert pair_of_page(".so man1/snib.1\n", "snib") is None


def test_pages_are_grouped_by_the_package_that_dpkg_names(tmp_path: Path) -> None:
    (tmp_path / "man" / "man1").mkdir(parents=True)
    (tmp_path / "man" / "de" / "man1").mkdir(parents=True)
    page, other = tmp_path / "man" / "man1" / "snib.1.gz", tmp_path / "man" / "man1" / "other.1"
    page.write_bytes(gzip.compress(MAN.encode()))
    other.write_text(MDOC)
    (tmp_path / "man" / "man1" / "link.1").symlink_to(other)
    (tmp_path / "man" / "de" / "man1" / "snib.1").write_text(MDOC)
    (tmp_path / "info").mkdir()
    (tmp_path / "info" / "snib-utils:amd64.list").write_text(f"/.\n{page}\n")
    source = Man(str(tmp_path / "man"), str(tmp_path / "info"))
    assert [pair.group for pair in source.read()] == ["other", "snib-utils"]
    first = source.versions()
    other.write_text(MDOC.replace("fast", "slow"))
    assert Man(str(tmp_path / "man"), str(tmp_path / "info")).versions() != first
    page.write_bytes(b"damaged")
    with pytest.raises(PairsError, match=r"^cannot read the manual page .*snib.1.gz: "):
        Man(str(tmp_path / "man")).versions()


def test_a_container_without_pages_says_so(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"holds no manual pages; get some with: apt-get install manpages"):
        Man(str(tmp_path)).versions()


@pytest.mark.slow
def test_the_installed_pages_are_prose() -> None:
    if len(list(Path("/usr/share/man").glob("man[1-9]*/*"))) < 1000:
        pytest.skip("fewer than 1,000 manual pages are installed")
    pairs = list(Man().read())
    assert len(pairs) >= 300
    assert len({pair.group for pair in pairs}) >= 30
    marked = [pair for pair in pairs if "\\" in pair.query or "\\f" in pair.positive or "\n." in pair.positive]
    assert len(marked) <= 0.01 * len(pairs)
