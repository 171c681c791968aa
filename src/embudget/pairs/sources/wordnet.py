"""WordNet, from the package wordnet-base: synonyms and their gloss -> example sentences, or synonyms -> gloss.

WordNet is a list of synsets: words that share a meaning, with a gloss that defines it and, for 28 % of them, sentences
that use it. Each synset makes one pair, so that no text is a query here and a positive there:

- with sentences: ``dog, domestic dog: a member of the genus Canis`` -> ``the dog barked all night``
- without: ``entity (noun)`` -> ``that which is perceived to have its own existence``

A group is the lemma of the first word, which is the most frequent one. Synsets that share any word would all be in one
group, because most words have several meanings. Licence: WordNet 3.0 (Princeton University).
"""

import re
from collections.abc import Iterable, Iterator

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Rules
from embudget.pairs.sources.debian import DebianSource
from embudget.pairs.sources.lemma import SCOPE, lemma

_PARTS_OF_SPEECH = {"n": "noun", "v": "verb", "a": "adjective", "s": "adjective", "r": "adverb"}
_MARKER = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand
_QUOTED = re.compile(r'"([^"]+)"')


class WordNet(DebianSource):
    """The synsets of WordNet's data files, see wndb(5WN)."""

    name = "wordnet"
    scope = SCOPE
    package = "wordnet-base"
    licence = "WordNet-3.0"
    files = ("data.adj", "data.adv", "data.noun", "data.verb")
    rules = Rules(query_words=2, positive_words=3)

    def __init__(self, folder: str = "/usr/share/wordnet") -> None:
        super().__init__(folder)

    def read(self) -> Iterator[RawPair]:
        """Adjectives, adverbs, nouns and verbs, each in the order of its file."""
        for name in self.files:
            try:
                yield from pairs_of_wordnet(self.contents(name).decode("utf-8").splitlines())
            except (ValueError, LookupError) as error:
                raise PairsError(f"cannot read {self.folder / name}: {error}; {self.again}") from None


def pairs_of_wordnet(lines: Iterable[str]) -> Iterator[RawPair]:
    """Make the pairs of a data file: one synset a line. Lines of the licence begin with a space."""
    for line in lines:
        if line.startswith(" ") or " | " not in line:
            continue
        fields, _, text = line.partition(" | ")
        _, _, part_of_speech, word_count, *rest = fields.split()
        synonyms = [_MARKER.sub("", word).replace("_", " ") for word in rest[: 2 * int(word_count, 16) : 2]]
        gloss, _, quoted = text.strip().partition('; "')
        sentences = _QUOTED.findall(f'"{quoted}')
        named, group = ", ".join(synonyms), lemma(synonyms[0])
        if sentences:
            yield RawPair(f"{named}: {gloss}", "; ".join(sentences), group)
        else:
            yield RawPair(f"{named} ({_PARTS_OF_SPEECH[part_of_speech]})", gloss, group)
