"""FOLDOC, the Free On-line Dictionary of Computing, from the package dict-foldoc: headwords -> definition.

An entry names its term in all spellings, then defines it in paragraphs. A group is the lemma of the first spelling.
Licence: GFDL-1.1-or-later (Denis Howe); the terms that Debian added have one of their own, which is permissive.
"""

import re
from collections.abc import Iterator

from embudget.pairs.sources.base import RawPair, Rules
from embudget.pairs.sources.dictd import Dictionary, is_reference
from embudget.pairs.sources.lemma import SCOPE, lemma

_MOST_SPELLINGS = 4  # more are the names of a character, such as "!"
_INDENT = "   "
_NAMED_LINK = re.compile(r"\{[^{}]*\((?:https?|ftp|gopher):[^{}]*\}\.?", re.IGNORECASE)  # {home (http://...)}
_LINK = re.compile(r"\{?(?:\(|\b)(?:https?|ftp|gopher|news|mailto|telnet):[^\s{}]*\)?\}?", re.IGNORECASE)
_INNER_LABEL = re.compile(r"(?<=\d\. )<[a-z][^<>@]*>\s*")
_CITATION = re.compile(r"^\[.*\]\.?$|^E-?mail: ", re.IGNORECASE)
_LABELS = re.compile(
    r"^(?:<[^<>]*>\s*|/[^/\s][^/]{0,60}/\s*|\([A-Z][\w./&+-]{0,11}(?:, [^()]{1,30})?\)\s*|\[[^\[\]]*\]\s*)+"
)
_DATE = re.compile(r"\(?\d{4}-\d\d-\d\d\)?\.?$")
_QUERY = re.compile(r"\[[^\[\]]*\?\]")  # "[Details?]", what the editors wished to know


class Foldoc(Dictionary):
    """The entries of FOLDOC."""

    name = "foldoc"
    scope = SCOPE
    package = "dict-foldoc"
    licence = "GFDL-1.1-or-later"
    rules = Rules(query_words=1, positive_words=4)

    def read(self) -> Iterator[RawPair]:
        """Entries in the order of the text."""
        for entry in self.entries():
            pair = pair_of_foldoc(entry)
            if pair is not None:
                yield pair


def pair_of_foldoc(entry: str) -> RawPair | None:
    """Make the pair of an entry, or None if it only refers to others."""
    head, _, body = entry.strip("\n").partition("\n\n")
    spellings = list(dict.fromkeys(line.strip() for line in head.splitlines() if not line.startswith(" ")))
    paragraphs = [_prose(block) for block in body.split("\n\n") if _is_prose(block)]
    paragraphs = [paragraph for paragraph in paragraphs if paragraph]
    if not spellings or not paragraphs:
        return None
    paragraphs[0] = _LABELS.sub("", paragraphs[0]) or paragraphs[0]
    definition = "\n".join(paragraph for paragraph in paragraphs if not is_reference(paragraph))
    return RawPair(", ".join(spellings[:_MOST_SPELLINGS]), definition, lemma(spellings[0])) if definition else None


def _is_prose(block: str) -> bool:
    """Whether a paragraph stands at the entry's margin; code and tables are indented further."""
    return block.startswith(_INDENT) and not block.startswith(_INDENT + " ")


def _prose(block: str) -> str:
    text = _QUERY.sub("", _LINK.sub("", _NAMED_LINK.sub("", " ".join(block.split()))))
    text = " ".join(_DATE.sub("", text.strip()).replace("{", "").replace("}", "").split())
    # what is left of a paragraph of links, such as "Home (http://...)." or "Usenet newsgroup: news:...", is no prose
    bare = len(text.split()) <= 3 and _LINK.search(block) is not None
    if bare or _CITATION.match(text):
        return ""
    return _INNER_LABEL.sub("", re.sub(r"\s+([.,;:])", r"\1", text))
