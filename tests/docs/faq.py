"""The text pairs that the pages are run on: made-up questions and answers, since real ones take minutes to read."""

import csv
import random
from itertools import product
from pathlib import Path

VERBS = ["open", "close", "delete", "measure", "rotate", "publish", "archive", "restore", "inspect", "rename"]
NOUNS = ["bucket", "table", "queue", "secret", "cluster", "stream", "policy", "snapshot", "alarm", "gateway"]
SYLLABLES = ["ba", "do", "ke", "li", "mu", "na", "po", "ri", "su", "ta", "ve", "zo"]
TAILS = [
    "as long as nobody else is writing to it.", "once its last reader has gone away.",
    "from any place, at any hour of the day.", "after the owner has agreed to that in writing.",
    "unless a rule of the account forbids such a change.",
]  # fmt: skip


def write_faq(path: Path, rows: int) -> None:
    """Write questions and answers that share their rarest words, in 200 groups."""
    rng = random.Random(0)
    names = ["".join(syllables) for syllables in product(SYLLABLES, repeat=3)]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question", "answer", "group"])
        for number in range(rows):
            verb, noun, (first, second, third) = rng.choice(VERBS), rng.choice(NOUNS), rng.sample(names, 3)
            table.writerow(
                [
                    f"How do I {verb} the {noun} {first} {second}?",
                    f"The {noun} called {first} {second} belongs to {third}, who may {verb} it {rng.choice(TAILS)}",
                    f"product-{number % 200}",
                ]
            )
