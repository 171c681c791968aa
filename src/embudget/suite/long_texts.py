"""How much of a very long text must a tokenizer see? Only its beginning, since the rest is cut off anyway.

A tokenizer reads all of a text before it cuts: 1 MB takes seconds, for 75 tokens that are kept. So a text of more than
`LEAST` characters is handed over only as far as it fills ``max_length`` tokens, and twice as far while it does not, as
where a tokenizer drops white space. It ends before white space, where tokenizers part words from each other, so that
the tokens that are kept are those of the whole text. Only a single word longer than that is cut within: its last kept
tokens may then differ from those of the whole word.
"""

from collections.abc import Callable

LEAST = 4096
"""Characters up to which a text is handed over whole."""
PER_TOKEN = 32
"""Characters for each token that is kept. assumption: six times those of English leave little to do twice."""


def beginning(text: str, max_length: int, count: Callable[[str], int]) -> str:
    """The part of a text that gives the same first tokens as the whole.

    Args:
        text: of any length.
        max_length: tokens that are kept of it.
        count: the tokens of a text, cut at ``max_length``.

    Example:
        >>> len(beginning("word " * 100_000, 75, lambda text: min(75, len(text.split()))))
        4094
    """
    size = max(LEAST, PER_TOKEN * max_length)
    while size < len(text):
        part = _before_space(text[:size])
        if count(part) >= max_length:
            return part
        size *= 2
    return text


def _before_space(part: str) -> str:
    """The text up to its last white space; whole where it is one long word."""
    words = part.rsplit(maxsplit=1)
    kept = words[0] if len(words) == 2 else part
    return kept if 2 * len(kept) > len(part) else part
