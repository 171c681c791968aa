"""Pairs of Javadoc in an archive laid out as a JDK's, and of the one that is installed."""

import zipfile
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.sources.javadoc import Javadoc, pairs_of_java

JAVA = """/*
 * Copyright of nobody.
 */
package snib.util;

/**
 * A queue of {@code Snib<T>} objects, as in {@link java.util.List#size() a list}.
 * <p>It never blocks &mdash; see {@link Other#close(int)}.
 * <pre>{@code
 *     new Queue();
 * }</pre>
 *
 * @param <T> what it holds
 * @see Other
 * @since 1.2
 */
public class Queue<T> {
    /**
     * Removes the first element which was added to it.
     *
     * @return the element, or {@code null}
     * @throws Problem if it is
     *         closed
     */
    public T poll() {}

    /** Short. */
    int size;

    /** Removes the first element which was added to it.
     * @return the element, or {@code null}
     * @throws Problem if it is closed */
    public T again() {}
}
"""
PAIRS = [
    RawPair(
        "A queue of Snib<T> objects, as in a list.",
        "It never blocks — see close(int).\n<T>: what it holds",
        "snib.util",
    ),
    RawPair(
        "Removes the first element which was added to it.",
        "Returns the element, or null\nProblem: if it is closed",
        "snib.util",
    ),
]


def test_a_comment_is_read_once_without_tags() -> None:
    assert list(pairs_of_java(JAVA, "snib.util", set())) == PAIRS


def test_the_archive_of_the_first_jdk_is_read(tmp_path: Path) -> None:
    for name in ("jdk-1", "jdk-2", "jdk-0"):
        (tmp_path / name / "lib").mkdir(parents=True)
    (tmp_path / "jdk-0" / "lib" / "src.zip").symlink_to(tmp_path / "nowhere")  # as Debian has it without the source
    path = tmp_path / "jdk-1" / "lib" / "src.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("snib.base/snib/util/Queue.java", JAVA)
        archive.writestr("snib.base/module-info.class", b"\xff")
    source = Javadoc(str(tmp_path))
    assert list(source.read()) == PAIRS
    assert source.versions().keys() == source.licences().keys()
    path.write_bytes(b"damaged")
    with pytest.raises(PairsError, match=r"^cannot read .*src.zip: .*; install the JDK's source again$"):
        list(source.read())


def test_no_source_of_a_jdk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        PairsError, match=r"has its source, lib/src.zip; get one with: apt-get install openjdk-17-source"
    ):
        Javadoc(str(tmp_path)).versions()


@pytest.mark.slow
def test_the_installed_library_is_prose() -> None:
    try:
        pairs = list(Javadoc().read())
    except PairsError as error:
        pytest.skip(str(error))
    assert len(pairs) >= 20_000
    assert len({pair.group for pair in pairs}) >= 150
    assert sum("{@" in pair.query + pair.positive for pair in pairs) <= 0.01 * len(pairs)
