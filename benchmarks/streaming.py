"""Memory and start-up of training on many pairs: they must not grow with the number of rows.

    .venv/bin/python benchmarks/streaming.py --out results/speed/streaming.json

Made-up pairs are written as Parquet shards of 500,000 rows, a tenth of the rows and then all, and indexed as `embudget
pairs index` does. For each a fresh process opens the folder, the token cache and the order of batches, and draws
batches; it reports the seconds until the first batch is there in tokens, and its peak resident memory before (all
libraries, the tokenizer and one tokenised text loaded) and after. Nothing generated is left behind.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embudget.files import write_whole
from embudget.pairs import index_pairs, load_pairs
from embudget.pairs.token_cache import TokenCache
from embudget.suite.loading import load_tokenizer

SHARD = 500_000
VALIDATION = 2_000
SYLLABLES = ["ba", "der", "ing", "ka", "lo", "men", "nor", "pre", "ri", "st", "tion", "ul"]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--model", default="smollm2-135m", help="whose tokenizer is used")
    parser.add_argument("--folder", type=Path, help="where the rows go for the time being; by default a temporary one")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # the fresh process
    options = parser.parse_args()
    if options.measure is not None:
        sys.stdout.write(json.dumps(measure(options.measure, options)))
        return
    result = {
        "command": " ".join(["benchmarks/streaming.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "model": options.model,
        "batches": options.batches,
        "batch_size": options.batch_size,
        "runs": [run(rows, options) for rows in (options.rows // 10, options.rows)],
    }
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.out, text + "\n")


def run(rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make the rows, index them, and measure in a fresh process."""
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="streaming-") as place:
        folder = Path(place)
        megabytes = generate(folder, rows)
        started = time.perf_counter()
        index_pairs(folder)
        indexed = time.perf_counter() - started
        command = [sys.executable, __file__, "--measure", place, "--model", options.model]
        command += ["--batches", str(options.batches), "--batch-size", str(options.batch_size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {"rows": rows, "parquet_mb": megabytes, "index_seconds": round(indexed, 2), **json.loads(done.stdout)}


def measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Open everything, draw batches, report seconds and memory."""
    from embudget.training.order import BatchOrder

    load_tokenizer(options.model)("one text")
    before = peak_mb()
    started = time.perf_counter()
    pairs = load_pairs(folder)
    opened = time.perf_counter() - started
    tokens = TokenCache(pairs, options.model, 75, folder=folder / "tokens")
    order = BatchOrder(tokens, options.batch_size, seed=0, max_epochs=1)
    tokens.texts(next(order))
    first = time.perf_counter() - started
    seen = sum(len(text) for batch in islice(order, options.batches - 1) for text in tokens.texts(batch))
    seconds = time.perf_counter() - started - first
    state = order.state
    started = time.perf_counter()
    again = TokenCache(pairs, options.model, 75, folder=folder / "tokens")
    next(BatchOrder(again, options.batch_size, seed=0, max_epochs=1).restore(state))
    resumed = time.perf_counter() - started
    return {
        "open_seconds": round(opened, 3),
        "first_batch_seconds": round(first, 2),
        "later_batch_seconds": round(seconds / (options.batches - 1), 5),
        "resume_seconds": round(resumed, 2),
        "tokens_per_pair": round(seen / (options.batches - 1) / options.batch_size, 1),
        "blocks_made": len(list(tokens.folder.iterdir())),
        "peak_mb_before": before,
        "peak_mb_after": peak_mb(),
    }


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB; on Linux, where ru_maxrss would count its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6, 1)


def generate(folder: Path, rows: int) -> int:
    """Shards of pairs that share their rarest words; the megabytes written."""
    rng = np.random.default_rng(0)
    words = pa.array(["".join(rng.choice(SYLLABLES, rng.integers(1, 5))) for _ in range(20_000)])
    shards = -(-rows // SHARD)
    for number in range(shards):
        table = made(rng, words, number * SHARD, min(SHARD, rows - number * SHARD))
        pq.write_table(table, folder / f"train-{number:05d}-of-{shards:05d}.parquet", compression="zstd")
    pq.write_table(made(rng, words, rows, VALIDATION), folder / "validation.parquet", compression="zstd")
    return round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6)


def made(rng: np.random.Generator, words: pa.Array, first: int, count: int) -> pa.Table:
    """Queries of 4 to 10 words, and positives of 8 to 25 that begin with the query's number."""
    numbers = pa.array(np.arange(first, first + count)).cast(pa.string())
    columns = {}
    for side, least, most in [("query", 4, 10), ("positive", 8, 25)]:
        lengths = rng.integers(least, most + 1, count)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        # the common words are common: a power of a uniform number
        chosen = words.take(pa.array((len(words) * rng.random(int(lengths.sum())) ** 3).astype(np.int32)))
        texts = pc.binary_join(pa.ListArray.from_arrays(offsets, chosen), " ")
        columns[side] = pc.binary_join_element_wise(numbers, texts, " ")
    return pa.table(columns)


if __name__ == "__main__":
    main()
