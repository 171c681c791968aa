"""GCIDE, the GNU Collaborative International Dictionary of English, from dict-gcide: headword -> definition.

GCIDE is Webster's dictionary of 1913 with entries of WordNet 1.5 and of its editors. An entry is a headword, then its
pronunciation, part of speech and etymology, then numbered senses with quotations and notes, then phrases. The senses
make one pair, ``retreat (verb)`` -> definition, and each phrase makes one, ``Cockling sea`` -> definition. Everything
else is left out, and so are senses that only refer to another entry.

A group is the lemma of the headword; a phrase has its own. Licence: the text is GPL-2.0-or-later by the package's
copyright file, though GCIDE's newer releases are under GPL-3.0-or-later.
"""

import re
import unicodedata
from collections.abc import Iterator

from embudget.pairs.sources.base import RawPair, Rules
from embudget.pairs.sources.dictd import Dictionary, is_reference
from embudget.pairs.sources.lemma import SCOPE, lemma

_QUOTATION = 9  # columns from which a paragraph is a quotation; the senses' own lines have 3 or 6
_PRONUNCIATION = re.compile(r"\\[^\\]*\\(?:\s*\([^()]*\))?")
_PARTS_OF_SPEECH = {
    "n": "noun", "v": "verb", "vb": "verb", "a": "adjective", "adj": "adjective", "adv": "adverb",
    "prep": "preposition", "conj": "conjunction", "interj": "interjection", "pron": "pronoun", "prefix": "prefix",
    "suffix": "suffix",
}  # fmt: skip
_LABEL = (
    r"[A-Za-z]{1,7}\.(?=[\s,;&({]|$)|n(?= \{)|(?:or|and|&)(?= )"  # n.; v. t. & i.
    r"|\{[^{}]*\}|\((?=[^()]*[-?\"*`'\d])[^()]*\)|[\s,;.:]"  # other forms; how they sound
)
_LABELS = re.compile(rf"(?:{_LABEL})+")
_FIELD = re.compile(r"^\s*\([A-Z][\w. &,'’-]{1,40}\)\s*")  # (Zool.)
_SPELLING = re.compile(r"^[\s,]*(?:or )?[A-Z][\w' -]*(?=\s*[,(])")
_SENSE = re.compile(r"^ {2,5}\d+\. ")
_PHRASE = re.compile(
    r"^ {2,5}\{([^{}]+)\}((?:,? (?:or|and) (?:the )?\{[^{}]+\}|,? ?\([^()]*\))*)[,:;]? +(.+)$", re.DOTALL
)
_ASIDE = re.compile(r"^ {2,8}(?:Note|Syn|Usage|Synonyms?|See also)\s*[:.]")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_NAME = r"[A-Z][\w'’&]*"
_AUTHOR = re.compile(  # with the quotation before it
    rf'(?:\s*"[^"]*")?\s*--\s?(?:\d ?)?{_NAME}(?: {_NAME})*[.,]?'
    rf"(?: (?:{_NAME}\.|&|[ivxlc]+\b[.,]?|\d[\d,.:-]*|\([^()]*\)))*"
)
_DERIVED = re.compile(r"\s*--\s*\{.*$", re.DOTALL)  # -- {Rashly}, adv.
_ILLUSTRATION = re.compile(
    r"\s*\(?See (?:also )?(?:the )?(?:Illust|Note|Phrase|Syn|Citation|Def)[^.]*\.(?: (?:of|under|in) [^.]*\.)?\)?"
)
_SEE = re.compile(
    r"(?:^|(?<=[.;:)?!\"] ))(?:See(?: also| under)?|Cf\.|Compare|Opposed to|Same as) \{[^.]*(?:\.|$)\s*"
    r"(?:(?:& ?)?(?:n|v|a|t|i|adv)\.\s*)*"
)
_NEXT = re.compile(r"\](?: [\w'-]+){1,4}\s*$")  # the headword of the entry that follows
_LEFT = re.compile(r"^(?:pl\. [A-Z]\w+\.? |\([a-z]\) )")
_ACCENTS = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "=": "\u0304", ",": "\u0327"}
_SIGNS = {
    "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "deg": "°", "pounds": "£", "frac12": "½", "frac14": "¼", "frac34": "¾",
    "eth": "ð", "thorn": "þ", "imac": "ī", "aum": "ä", "oum": "ö", "uum": "ü", "times": "×", "middot": "·",
}  # fmt: skip
_SIGN = re.compile(r"\[(?:([`'\"^~=,])([A-Za-z])|([A-Za-z]+\d*))\]")


class Gcide(Dictionary):
    """The entries of GCIDE."""

    name = "gcide"
    scope = SCOPE
    package = "dict-gcide"
    licence = "GPL-2.0-or-later"
    rules = Rules(query_words=1, positive_words=3)

    def read(self) -> Iterator[RawPair]:
        """Entries in the order of the text, the senses of each before its phrases."""
        for entry in self.entries():
            yield from pairs_of_gcide(entry)


def pairs_of_gcide(entry: str) -> Iterator[RawPair]:
    """Make the pairs of an entry."""
    begin = re.search(r"^\S", entry, re.MULTILINE)  # an entry may begin with the end of the one before it
    name, slash, rest = entry[begin.start() if begin else 0 :].partition("\\")
    headword = _plain(name).strip(" ,.;")
    if not slash or not headword:
        return
    header, senses, phrases = _parts(slash + _NEXT.sub("]", rest))
    if senses:
        text = "\n".join(senses) if len(senses) == 1 else "\n".join(f"{n}. {one}" for n, one in enumerate(senses, 1))
        yield RawPair(f"{headword} ({header})" if header else headword, text, lemma(headword))
    for phrase, definition in phrases:
        yield RawPair(phrase, definition, lemma(phrase))


def _parts(body: str) -> tuple[str | None, list[str], list[tuple[str, str]]]:
    """Take an entry behind its headword apart: part of speech, senses, phrases with their definitions."""
    part_of_speech: str | None = None
    senses: list[str] = []
    phrases: list[tuple[str, str]] = []
    blocks = list(_blocks(body))
    numbered = any(map(_SENSE.match, blocks))
    for number, block in enumerate(blocks):
        phrase = _PHRASE.match(block) if number else None
        if len(block) - len(block.lstrip()) >= _QUOTATION:
            continue
        if number == 0:
            part_of_speech, text = _header(block)
            senses += filter(None, [_definition(text)] if not numbered else [])
        elif _ASIDE.match(block):
            continue
        elif phrase is not None:
            definition = _definition(phrase.group(3))
            if definition:
                phrases.append((_plain(phrase.group(1)).strip(" ,.;"), definition))
        elif _SENSE.match(block) or not senses:
            senses += filter(None, [_definition(_SENSE.sub("", block))])
    return part_of_speech, senses, phrases


def _blocks(body: str) -> Iterator[str]:
    """Split into paragraphs; a numbered sense begins one even without an empty line before it."""
    yield from (block for block in re.split(r"\n\s*\n|\n(?= {2,5}1\. )", body.rstrip()) if block.strip())


def _header(block: str) -> tuple[str | None, str]:
    """Split the first paragraph into the part of speech and what may follow it, an unnumbered definition."""
    text = _without_brackets(_signs(" ".join(_PRONUNCIATION.sub(" ", block).split())))
    if block.count("\\") > 2:  # a second spelling: ", Pearlings"
        text = _SPELLING.sub("", text)
    found = _LABELS.match(text)
    labels = re.findall(r"[a-z]+", re.sub(r"\{[^{}]*\}|\([^()]*\)", "", found.group())) if found else []
    rest = text[found.end() :] if found else text
    return next((_PARTS_OF_SPEECH[label] for label in labels if label in _PARTS_OF_SPEECH), None), rest


def _definition(text: str) -> str:
    """Reduce a sense to its prose: no marks of editors, names of authors, derived words and references."""
    text = _signs(" ".join(text.split()))
    text = _AUTHOR.sub("", _DERIVED.sub("", _without_brackets(text)))
    text = _SEE.sub("", _ILLUSTRATION.sub("", text)).replace("{", "").replace("}", "")
    while _FIELD.match(text):
        text = _FIELD.sub("", text)
    text = re.sub(r"\s+([.,;:])", r"\1", " ".join(text.split())).strip(" ,;:-")
    text = _LEFT.sub("", text)
    return "" if is_reference(text) else text


def _plain(text: str) -> str:
    return " ".join(_without_brackets(_signs(text)).replace("{", "").replace("}", "").replace("*", "").split())


def _without_brackets(text: str) -> str:
    while _BRACKETS.search(text):
        text = _BRACKETS.sub("", text)
    return text


def _signs(text: str) -> str:
    """Write letters that stand in brackets, such as ['e] and [ae], as they are."""
    return _SIGN.sub(_sign, text)


def _sign(match: re.Match[str]) -> str:
    accent, letter, name = match.groups()
    if accent:
        return unicodedata.normalize("NFC", letter + _ACCENTS[accent])
    return _SIGNS.get(name, match.group())
