"""Under which licence may a model be passed on? What its start and its data ask for, compared.

A licence is recognised by the words of its name, as packages and cards write it, and put into one of the classes below.
What is not recognised is unknown, and said so; nothing is guessed. Whether a model trained on texts is a work derived
from them is not settled, so a licence of data that asks for more than the start's is called a conflict to look at,
never resolved.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

Terms = Literal["permissive", "share-alike", "own terms", "non-commercial", "no derivatives", "unknown"]
"""What a licence asks for, the stricter later: notices alone; that what is derived has the same licence; the terms of a
maker, as of Llama or Gemma; no commercial use; no change."""

_WORDS: tuple[tuple[Terms, str], ...] = (
    ("no derivatives", r"nd|noderivatives|noderivs"),
    ("non-commercial", r"nc|noncommercial|non commercial|research only"),
    (
        "share-alike",
        r"[al]?gpl\w*|gnu|sa|sharealike|share alike|odbl|mpl\w*|mozilla|eupl|cecill\w*|epl|eclipse|gfdl|fdl|copyleft",
    ),
    (
        "own terms",
        r"gemma|llama\w*|openrail\w*|bigscience\w*|qwen|tongyi|proprietary|commercial|commons clause|bsl 1 1|busl|"
        r"business source|sspl|server side|custom",
    ),
    (
        "permissive",
        r"apache|mit|bsd|0bsd|isc|psf|python software foundation|python|cc0|cc by|public domain|publicdomain|unlicense|"
        r"zlib|wordnet|hpnd|odc by|wtfpl|boost|bsl 1 0|ncsa|libpng|afl|pddl|postgresql",
    ),
)
"""Class -> words that a licence of it is written with, the strictest class first."""

HUB_LICENCES = (
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "openrail", "odc-by", "odbl",
    "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0",
    "mpl-2.0", "gemma", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3",
)  # fmt: skip
"""Licences that the hub knows by an identifier; any other is `other` there, with its name beside it."""


class Verdict(NamedTuple):
    """The licence for a model, and what to look at before it is passed on."""

    licence: str
    """An identifier of the hub; `other` or `unknown` where none may be named."""
    name: str | None
    """What to call it where it is `other`."""
    remarks: tuple[str, ...]
    """Conflicts and gaps, a sentence each; empty where there are none."""


def terms_of(licence: str) -> Terms:
    """What a licence asks for, by the words of its name.

    In an SPDX expression all licences joined by AND count, of those joined by OR the mildest.

        >>> terms_of("BSD-3-Clause AND (MIT OR GPL-2.0-only)")
        'permissive'
        >>> terms_of("CC-BY-NC-4.0")
        'non-commercial'
    """
    text = re.sub(r"\s+", " ", licence).strip().lower()
    if re.search(r"\band\b|;|\bor\b", text):
        text = text.replace("(", " ( ").replace(")", " ) ")
        return _expression(text)
    return _plain(text)


def _expression(text: str) -> Terms:
    """An expression with AND, OR and brackets, the innermost brackets first."""
    while bracket := re.search(r"\(([^()]*)\)", text):
        text = f"{text[: bracket.start()]} {_PLACE[_expression(bracket.group(1))]} {text[bracket.end() :]}"
    every = re.split(r"\band\b|;", text)
    if len(every) > 1:
        return _strictest(_expression(part) for part in every)
    return min((_plain(part) for part in re.split(r"\bor\b", text)), key=get_args(Terms).index)


_PLACE: dict[Terms, str] = {terms: f"terms{number}" for number, terms in enumerate(get_args(Terms))}
"""Stands for the class of a part of an expression that is read already."""


def _plain(text: str) -> Terms:
    """A single licence."""
    words = " ".join(re.split(r"[^a-z0-9]+", text)).strip()
    for terms, place in _PLACE.items():
        if place == words:
            return terms
    for terms, pattern in _WORDS:
        if re.search(rf"\b(?:{pattern})\b", words):
            return terms
    # versions are written without a space as well: gplv3, apache2
    for terms, pattern in _WORDS:
        if re.search(rf"\b(?:{pattern})\b", re.sub(r"(?<=[a-z])v?\d[\d ]*\b", "", words)):
            return terms
    return "unknown"


def _strictest(found: Iterable[Terms]) -> Terms:
    return max(found, key=get_args(Terms).index, default="unknown")


def inherited(base: str, data: Sequence[tuple[str, str]]) -> Verdict:
    """The licence that a model inherits from its start, and what its data ask for besides.

    Args:
        base: the licence of the start; empty if it is unknown.
        data: name and licence of each part of the data; an empty licence is unknown.

    Returns:
        The start's licence, where the data ask for nothing that it does not. Otherwise none is named, because embudget
        cannot decide whether the model may have one.
    """
    remarks = []
    own = terms_of(base) if base else "unknown"
    if own == "unknown":
        remarks.append(f"The licence of the start is {f'not one that embudget knows: {base}' if base else 'unknown'}.")
    elif own != "permissive":
        remarks.append(f"The start is under {base} ({own}), which holds for this model too.")
    by_terms: dict[Terms, list[_Part]] = {}
    for name, licence in data:
        by_terms.setdefault(terms_of(licence) if licence else "unknown", []).append(_Part(name, licence))
    conflicts = {
        terms: parts
        for terms, found in by_terms.items()
        if terms in _ASKS and (parts := [part for part in found if terms != own or not _alike(part.licence, base)])
    }
    for terms in sorted(conflicts, key=get_args(Terms).index, reverse=True):
        remarks.append(
            f"Conflict: {_listed(conflicts[terms])} {_ASKS[terms]}, and the start's licence is {base or 'unknown'}. "
            "Settle it before you pass the model on."
        )
    if unknown := by_terms.get("unknown"):
        remarks.append(f"The licence of {_listed(unknown)} is unknown.")
    if conflicts:
        return Verdict("other", "see the section on licences", tuple(remarks))
    if own == "unknown" and not base:
        return Verdict("unknown", None, tuple(remarks))
    identifier = base.strip().lower()
    return Verdict(identifier, None, tuple(remarks)) if identifier in HUB_LICENCES else Verdict(
        "other", base, tuple(remarks)
    )  # fmt: skip


_ASKS: dict[Terms, str] = {
    "share-alike": "asks that what is derived has the same licence",
    "own terms": "has terms of its own",
    "non-commercial": "forbids commercial use",
    "no derivatives": "forbids derived works",
}


class _Part(NamedTuple):
    """A part of the data, with its licence as its source names it."""

    name: str
    licence: str


def _alike(one: str, other: str) -> bool:
    """Whether two licences that ask for the same kind of thing are one but for the version.

    GPL 2 and GPL 3 are; GPL and CC BY-SA are not, since each wants what is derived under itself, nor Gemma and Llama.
    """
    words = [set(re.findall("[a-z]+", name.lower())) - {"v", "only", "or", "later", "license"} for name in (one, other)]
    return words[0] == words[1]


def _listed(parts: list[_Part], most: int = 4) -> str:
    """Parts and their licences for a sentence; of many the first few and how many more there are."""
    shown = [f"{part.name} ({part.licence or 'none named'})" for part in parts]
    shown = shown if len(parts) <= most else [*shown[: most - 1], f"{len(parts) - most + 1} more"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
