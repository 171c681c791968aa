"""How text as documentation holds it becomes plain prose: white space, HTML, Markdown, first sentences.

The sources use it to take markup away and to tell a summary from what follows; cleaning uses it to normalise
documentation, and to compare all texts. A change here changes the pairs: raise `CLEANING` in `embudget.pairs.manifest`
with it.
"""

import re
import unicodedata
from html.parser import HTMLParser

MAX_CHARACTERS = 1000
"""Longer documentation is cut at a word, because what comes later is seldom about the same thing. The 75 tokens that a
run reads by default are about 350 characters. The user's own texts stay whole, for a run may read more."""

_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f\u00ad\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff]")
_WIDTHS = re.compile("[\uff00-\uffef]+")
_WORD = re.compile(r"\w+")
_BOUNDARY = re.compile(r"""[.!?]+["')\]”’`*]*[ \t]+(?=["'(\[`“‘*_]*[A-Z]|["'(\[]*`)|\n+""")
_LAST_WORD = re.compile(r"(\S+)\.[\"')\]”’`*]*\s*$")
_INITIALS = re.compile(r"(?:[a-z]\.)*[a-z]")
_ABBREVIATIONS = frozenset(
    {
        "approx", "cf", "co", "corp", "dept", "dr", "eq", "eqn", "eqs", "esp", "est", "fig", "figs", "inc", "jr", "ltd",
        "mr", "mrs", "ms", "no", "nos", "pp", "prof", "ref", "refs", "resp", "sec", "sr", "st", "vol", "vs",
    }
)  # fmt: skip
_LABELS = re.compile(
    r"^(?:\[?\(?(?:output[ -]only|input[ -]only|required|optional|immutable|identifier|deprecated|read[ -]?only|"
    r"write[ -]?only|create[ -]only|private preview|preview|beta|alpha|experimental|unordered list|legacy)\)?\]?"
    r"[.:;]\s+"
    r"|\[(?:required|optional|deprecated|beta|alpha|output only|preview)\]\s+)+",
    re.IGNORECASE,
)
_MARKDOWN = [
    (re.compile(r"!?\[([^\]\[]*)\]\((?:[^()\s]|\([^()]*\))*\)"), r"\1"),  # [text](url)
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"\1"),
    (re.compile(r"``([^`]+)``"), r"\1"),
    (re.compile(r"(?<!\w)`([^`\n]+)`"), r"\1"),
    (re.compile(r"^\s{0,3}#{1,6}\s+", re.MULTILINE), ""),
    (re.compile(r"^\s*[*+-]\s+", re.MULTILINE), ""),
    (re.compile(r"^\s*```.*$", re.MULTILINE), ""),
]


def normalise(text: str) -> str:
    """Bring a text to one line in Unicode NFC: a single space for each run of white space, no invisible characters.

    Example:
        >>> normalise("  two   words ")
        'two words'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(_INVISIBLE.sub("", text).split())


def text_key(text: str) -> str:
    r"""Give what two texts have in common if a reader would call them the same, in any script.

    It is the text as `normalise` gives it, with full-width and half-width forms in their usual width. Case, vowel
    signs, punctuation and symbols count: "C", "c", "C++" and "C#" are four texts, and so are "x2" and "x²".

    Example:
        >>> text_key(" Ｃ++  or\nC# ")
        'C++ or C#'
    """
    key = normalise(text if text.isascii() else _WIDTHS.sub(_usual_width, text))
    return text if key == text else key  # one object for both where they are equal, for millions of texts


def _usual_width(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


def cut(text: str, characters: int) -> str:
    """Keep the first words of a text, at most ``characters`` long together; a longer first word is cut inside."""
    if len(text) <= characters:
        return text
    head, space, _ = text[: characters + 1].rpartition(" ")
    return head if space else text[:characters]


def words(text: str) -> list[str]:
    """List the words of a text in lower case: letters with their marks, digits, underscores.

    A text without any is a word itself. Vowel signs, as Devanagari and Thai write them, are marks and belong to words.

    Example:
        >>> words("Is it S3?"), words("+")
        (['is', 'it', 's3'], ['+'])
    """
    lower = text.lower()
    if lower.isascii():
        return _WORD.findall(lower) or [text]
    return "".join(sign if _in_word(sign) else " " for sign in lower).split() or [text]


def _in_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_" or is_mark(sign)


def is_mark(sign: str) -> bool:
    """Whether a character belongs to the letter before it, as accents and the vowel signs of many scripts do."""
    return unicodedata.category(sign).startswith("M")


def first_sentence(text: str, least_words: int = 3) -> tuple[str, str]:
    """Split a text into its first sentence, which becomes a query, and the rest, which becomes its positive.

    A sentence ends at a newline, or at punctuation before a space and a capital letter. Periods inside names and
    version numbers have no space behind them; abbreviations and initials ("e.g. S3", "cf. Smith", "U.S. East") are
    known.

    Args:
        text: paragraphs, separated by newlines.
        least_words: a shorter sentence, such as "Amazon S3.", is joined with the next one.

    Returns:
        The sentence and the rest, which is empty if there is only one sentence.

    Example:
        >>> first_sentence("Use a store, e.g. Amazon S3. It is durable.")
        ('Use a store, e.g. Amazon S3.', 'It is durable.')
    """
    for boundary in _BOUNDARY.finditer(text):
        sentence = text[: boundary.end()].strip()
        ended = "\n" in boundary.group() or not _ends_in_abbreviation(sentence)
        if ended and len(sentence.split()) >= least_words:
            return sentence, text[boundary.end() :].strip()
    return text.strip(), ""


def _ends_in_abbreviation(sentence: str) -> bool:
    last = _LAST_WORD.search(sentence)
    if last is None:
        return False
    word = last.group(1).lstrip("([\"'`“‘").lower()
    return word in _ABBREVIATIONS or _INITIALS.fullmatch(word) is not None


def without_labels(text: str) -> str:
    """Remove labels in front of a field's description that say nothing of its meaning: "Output only.", "[Required]"."""
    return _LABELS.sub("", text)


def without_markdown(text: str) -> str:
    """Remove the marks of links, emphasis, code, headings and list items; their text stays."""
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return text


def join_lines(text: str) -> str:
    """Give each paragraph a line of its own, where empty lines separate paragraphs."""
    return "\n".join(" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip())


def without_html(text: str) -> str:
    """Take the text out of an HTML fragment: a line for each block, entities decoded.

    Tags that HTML does not know stay, because documentation writes placeholders such as ``<bucket>`` without escaping
    them.
    """
    if "<" not in text and "&" not in text:
        return " ".join(text.split())
    parser = _Stripper()
    parser.feed(text)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "br", "caption", "caution", "dd", "details", "div", "dl", "dt",
        "example", "fieldset", "figure", "footer", "fullname", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
        "important", "itemizedlist", "li", "listitem", "main", "nav", "note", "ol", "p", "para", "pre", "section",
        "shortdesc", "simpara", "summary", "table", "tbody", "tfoot", "thead", "tip", "title", "tr", "ul", "warning",
    }
)  # fmt: skip
_INLINE = frozenset(
    {
        "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "body", "cite", "code", "del", "dfn", "em", "font", "head",
        "html", "i", "img", "ins", "kbd", "label", "link", "literal", "mark", "meta", "parameter", "q", "replaceable",
        "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "ulink", "userinput", "var",
        "wbr",
    }
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_SILENT = frozenset({"script", "style"})


class _Stripper(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self.silent += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")
        elif tag in _CELLS:
            self.parts.append(" ")
        elif tag not in _INLINE:
            self.parts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self.silent = max(0, self.silent - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data.replace("\n", " "))
