"""How long will a task take, and which tasks fit into so many hours?

    seconds = sum over texts of min(characters * tokens per character, longest) / (tokens per second)

The model embeds up to 256 texts, for some seconds at most, to learn its tokens a second and a character. Of mteb's own
tasks only the number of texts and their mean length are known, by the statistics that mteb comes with. The estimate is
for a choice among tasks. assumption: where many texts are cut, or padding differs, it is off by a third.
"""

import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from embudget.evaluation.task import BenchmarkTask

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SAMPLE, SECONDS, BATCH = 256, 5.0, 32

_TEXTS = (
    "What is the fastest way to the station, and how much is the ticket?",
    "The library returns one vector for each text. Texts of one meaning have vectors that point the same way, so that "
    "a search finds what was meant and not what was written.",
)
"""What speed is measured on where no task has texts on this machine yet."""


class Speed(NamedTuple):
    """How fast a model embeds texts on this machine."""

    tokens_per_second: float
    tokens_per_character: float
    longest: int
    """Tokens at which a text is cut."""


def measure_speed(model: "SentenceTransformer", tasks: Sequence[BenchmarkTask]) -> Speed:
    """Embed a sample of the tasks' texts and take the time."""
    rng = random.Random(0)
    texts = [text for task in tasks for text in rng.sample(task.sample(), min(SAMPLE, len(task.sample())))]
    texts = rng.sample(texts, min(SAMPLE, len(texts))) or list(_TEXTS) * (BATCH // len(_TEXTS))
    longest = int(model.max_seq_length or 10**6)
    lengths = {text: len(model.tokenizer(text, verbose=False)["input_ids"]) for text in texts}
    model.encode(texts[:8], show_progress_bar=False)  # the first call is slow
    tokens, started = 0, time.perf_counter()
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        model.encode(part, batch_size=BATCH, show_progress_bar=False)
        tokens += sum(min(longest, lengths[text]) for text in part)
        if time.perf_counter() - started > SECONDS:
            break
    seconds = time.perf_counter() - started
    return Speed(tokens / seconds, sum(lengths.values()) / sum(map(len, lengths)), longest)


def seconds_of(task: BenchmarkTask, speed: Speed) -> float | None:
    """Estimated time of a task; None where nobody knows its size."""
    sizes = task.sizes()
    if sizes is None:
        return None
    tokens = sum(one.number * min(one.characters * speed.tokens_per_character, speed.longest) for one in sizes)
    return tokens / speed.tokens_per_second


def fitting(seconds: Mapping[str, float | None], hours: float) -> tuple[set[str], list[str]]:
    """Take tasks, the quickest first, while they fit.

    Args:
        seconds: task -> estimated time; None where it is unknown.
        hours: what they may take together.

    Returns:
        The tasks that fit, and a line on each that does not.
    """
    chosen: set[str] = set()
    left_out: list[str] = []
    left = hours * 3600
    for name, need in sorted(seconds.items(), key=lambda item: (item[1] is None, item[1])):
        if need is None:
            left_out.append(f"{name}: its size is not known, and max_hours allows only what is")
        elif need > left:
            left_out.append(f"{name}: about {need / 3600:.2g} hours, of which max_hours leaves {left / 3600:.2g}")
        else:
            chosen.add(name)
            left -= need
    return chosen, left_out
