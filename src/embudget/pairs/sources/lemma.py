"""What a dictionary's headword is compared by, so that one word in several dictionaries is one group."""

import unicodedata

from embudget.pairs.text import words

SCOPE = "lemma"
"""`Source.scope` of all dictionaries: their groups are shared, and split together."""


def lemma(headword: str) -> str:
    """Reduce a headword to its letters and digits, without case, accents, hyphens and punctuation.

    A word that is written apart, with a hyphen or together is still two lemmas: "data base" and "database".

    Example:
        >>> lemma("Data-Base"), lemma("Café au lait")
        ('data base', 'cafe au lait')
    """
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", headword) if not unicodedata.combining(sign))
    return " ".join(words(plain.replace("'", "")))
