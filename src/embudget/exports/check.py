"""Does another runtime compute the embeddings that torch computes, and how fast is it?

Both embed the same 200 texts in batches of 32 of similar length, with as many threads. The texts have one word to more
than the model takes, so that cutting is checked as well; one is empty, and some are of other scripts.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat

from embudget.errors import ExportError
from embudget.frozen import Frozen
from embudget.suite.tokens import EMPTY_AS, reads_empty

if TYPE_CHECKING:
    import numpy as np

    from embudget.exports.exportable import Exportable

Precision = Literal["fp32", "fp16"]

TEXTS, BATCH = 200, 32
TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2}
"""Largest difference of any number of an embedding, which has length 1, above which nothing is written."""

_WORDS = (
    "the queue keeps every message until one consumer has confirmed it, whatever happens; a table which nobody reads "
    "costs 12.50 a month (see RFC-2119) def f(x): return x**2 Straße naïve 数据库 表格 очередь сообщений 🚀 \t\n"
)

Runtime = Callable[[dict[str, Any]], "np.ndarray[Any, Any]"]
"""From token ids and mask, (batch, length) each, to embeddings, (batch, size)."""


class Check(Frozen):
    """What came of comparing a runtime with torch."""

    difference: NonNegativeFloat
    """Largest absolute difference of any number of the embeddings of the texts."""
    texts_per_second: PositiveFloat
    """How many texts the runtime embeds in a second, tokenising included."""
    torch_texts_per_second: PositiveFloat
    """How many sentence-transformers does, of the same texts, with as many threads."""
    threads: int
    """Threads that each of them had."""


def check_texts(max_length: int) -> list[str]:
    """200 texts, the same ones each time, of up to a quarter more words than the model takes tokens."""
    rng, words = random.Random(0), _WORDS.split(" ")
    lengths = [round((1.25 * max_length) ** rng.random()) for _ in range(TEXTS - 2)]
    return ["", " ", *(" ".join(rng.choices(words, k=length)) for length in lengths)]


def compare_with_torch(source: "Exportable", folder: Path, run: Runtime, precision: Precision) -> Check:
    """Embed the texts by both, and measure the difference and the speeds.

    Args:
        source: the model in torch.
        folder: what was written; its tokenizer is the one that users will have.
        run: the runtime.
        precision: fp32 or fp16.

    Raises:
        ExportError: the difference is above the tolerance, or an embedding is not finite.
    """
    import numpy as np
    import torch
    from transformers import AutoTokenizer

    texts = check_texts(source.model.max_seq_length)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not reads_empty(tokenizer):
        texts = [text or EMPTY_AS for text in texts]
    embed_by(run, tokenizer, texts[:4])  # some runtimes compile at first use
    source.model.encode(texts[:4], prompt="", show_progress_bar=False)
    started = time.perf_counter()
    ours = embed_by(run, tokenizer, texts)
    middle = time.perf_counter()
    theirs = source.model.encode(texts, prompt="", batch_size=BATCH, show_progress_bar=False)
    ended = time.perf_counter()
    difference = float(np.abs(ours - theirs).max()) if np.isfinite(ours).all() else float("inf")
    if not difference <= TOLERANCE[precision]:
        raise ExportError(
            f"cannot write {source.name}: in {precision} its embeddings differ from torch's by up to {difference:.2g}, "
            f"and {TOLERANCE[precision]:g} is allowed" + (": leave out fp16" if precision == "fp16" else "")
        )
    return Check(
        difference=difference,
        texts_per_second=len(texts) / (middle - started),
        torch_texts_per_second=len(texts) / (ended - middle),
        threads=torch.get_num_threads(),
    )


def embed_by(run: Runtime, tokenizer: Any, texts: list[str]) -> "np.ndarray[Any, Any]":  # noqa: ANN401
    """Embed texts in batches of similar length, as sentence-transformers does; (texts, size), in the texts' order."""
    import numpy as np

    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    found = []
    for start in range(0, len(order), BATCH):
        batch = [texts[place] for place in order[start : start + BATCH]]
        fed = tokenizer(batch, padding=True, truncation=True, return_tensors="np")
        found.append(run({name: fed[name].astype(np.int64) for name in ("input_ids", "attention_mask")}))
    return np.concatenate(found)[np.argsort(order)]
