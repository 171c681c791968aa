"""Pairs that are made up: all different, natural enough to pass every rule of cleaning."""

from collections.abc import Iterator, Sequence

from embudget.pairs import RawPair, Rules, Source

SUBJECTS = ["bucket", "queue", "table", "volume", "cluster", "function", "topic", "certificate", "snapshot", "gateway"]
VERBS = ["Deletes", "Describes", "Creates", "Restarts", "Encrypts", "Copies", "Archives", "Monitors"]
ENDINGS = [
    "fails while another request is pending",
    "needs the permission of its owner",
    "is finished only after several minutes",
    "cannot be undone by anybody",
    "costs nothing within the free quota",
    "writes an entry into the audit log",
    "returns an identifier for later polling",
]


def made_pairs(groups: int, per_group: int) -> list[RawPair]:
    """Natural pairs, all different: at most 8 × 10 × 7 of them."""
    count = groups * per_group
    assert count <= len(VERBS) * len(SUBJECTS) * len(ENDINGS)
    pairs = []
    for number in range(count):
        verb, rest = VERBS[number % 8], number // 8
        subject, ending = SUBJECTS[rest % 10], ENDINGS[rest // 10]
        query = f"{verb} one {subject} which {ending}."
        positive = f"{ending.capitalize()}: whoever {verb.lower()} the {subject} number {number} should know this."
        pairs.append(RawPair(query, positive, f"service{number % groups}"))
    return pairs


class MadeSource(Source):
    """A source that gives the pairs it was made with, and then fails if it was told to."""

    def __init__(
        self,
        pairs: Sequence[RawPair],
        name: str = "made",
        rules: Rules | None = None,
        fails: BaseException | None = None,
    ) -> None:
        self.pairs = pairs
        self.name = name
        self.rules = rules or Rules()
        self.fails = fails
        self.reads = 0

    def versions(self) -> dict[str, str]:
        return {self.name: str(len(self.pairs))}

    def licences(self) -> dict[str, str]:
        return {self.name: "made up"}

    def read(self) -> Iterator[RawPair]:
        self.reads += 1
        yield from self.pairs
        if self.fails is not None:
            raise self.fails
