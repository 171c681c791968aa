"""Markup goes and the text stays; a sentence ends where it ends."""

import pytest

from embudget.pairs.text import (
    cut,
    first_sentence,
    join_lines,
    normalise,
    without_html,
    without_labels,
    without_markdown,
)


@pytest.mark.parametrize(
    ("text", "query", "rest"),
    [
        ("Deletes the bucket. All objects go.", "Deletes the bucket.", "All objects go."),
        ("Use a store, e.g. Amazon S3. It is durable.", "Use a store, e.g. Amazon S3.", "It is durable."),
        ("The zone, i.e. The place, matters. Really so.", "The zone, i.e. The place, matters.", "Really so."),
        ("Needs version 2.13.0 or later. Older ones fail.", "Needs version 2.13.0 or later.", "Older ones fail."),
        ("As shown by cf. Smith in U.S. East today. Yes.", "As shown by cf. Smith in U.S. East today.", "Yes."),
        ("Amazon S3. It stores many objects. Cheaply.", "Amazon S3. It stores many objects.", "Cheaply."),
        ("Set by foo.Bar.baz in the file. Then read.", "Set by foo.Bar.baz in the file.", "Then read."),
        ("Is it there yet? `true` if so.", "Is it there yet?", "`true` if so."),
        ("The list of values\nFirst one\nSecond one", "The list of values", "First one\nSecond one"),
        ("The end is lower. and goes on", "The end is lower. and goes on", ""),
        ("Only one sentence here.", "Only one sentence here.", ""),
    ],
)
def test_first_sentence(text: str, query: str, rest: str) -> None:
    assert first_sentence(text) == (query, rest)


def test_html_blocks_break_and_entities_are_decoded() -> None:
    html = "<fullname>Amazon&nbsp;X</fullname><p>Uses <code>a &lt; b</code>\n in <a href='x'>one</a>.</p>"
    assert without_html(html + "<ul><li>p</li><li>q</li></ul>") == "Amazon X\nUses a < b in one.\np\nq"


def test_html_keeps_placeholders_and_leaves_out_scripts() -> None:
    assert without_html("<p>Write s3://<bucket>/key</p><script>evil()</script>") == "Write s3://<bucket>/key"


def test_html_of_a_text_without_any_is_the_text() -> None:
    assert without_html("just   a\ntext") == "just a text"


def test_labels_are_removed_from_the_front_only() -> None:
    assert without_labels("Output only. [Required] The name.") == "The name."
    assert without_labels("The name. Output only.") == "The name. Output only."
    assert without_labels("Required fields are listed.") == "Required fields are listed."


def test_markdown_leaves_the_text() -> None:
    text = "See [the *guide*](https://example.com/a_(b)) and **note** `code`, not `__init__.py`.\n* item"
    assert without_markdown(text) == "See the *guide* and note code, not __init__.py.\nitem"


def test_join_lines_keeps_paragraphs() -> None:
    assert join_lines("one\n  two\n\n\nthree") == "one two\nthree"


def test_normalise() -> None:
    assert normalise(" e\u0301te\u0301\u00a0\u200bici\ud800\t\n.\x00 ") == "été ici ."
    assert normalise("\ud800").encode() == b""


def test_cut_at_a_word() -> None:
    assert cut("alpha beta gamma", 12) == "alpha beta"
    assert cut("alpha beta", 10) == "alpha beta"
    assert cut("alphabet", 3) == "alp"
