"""A step with all the memory that it likes, then one with little, in a process of its own.

    python -m tests.gpu.fill_memory FOLDER DEVICE METHOD

Prints in JSON how the second differs from the first. On a GPU the device's memory is taken but for a little; on a
CPU the process may map but a little more than it has.
"""

import gc
import json
import logging
import resource
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tests.conftest import TINY_SIZES, save_tiny
from tests.gpu.devices import Gradients, distance, model_on
from tests.training.batches import Texts, engine_for, gradients


class Case(NamedTuple):
    """How large the step is and what is left for it; the whole batch takes several times as much."""

    hidden: int
    layers: int
    texts: int
    left_bytes: float


LENGTH = 32
CASES = {
    "cuda": Case(hidden=256, layers=8, texts=2048, left_bytes=1.5e9),  # 18 GB of activations
    "cpu": Case(hidden=64, layers=4, texts=640, left_bytes=2e8),  # 0.6 GB
}


def main(folder: Path, device: str, method: str) -> None:
    """Take both steps."""
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    case = CASES[device]
    heads = TINY_SIZES["num_attention_heads"]
    save_tiny(
        folder, "gpt_neox", hidden_size=case.hidden, intermediate_size=4 * case.hidden,
        num_hidden_layers=case.layers, num_attention_heads=heads,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    texts: Texts = list(rng.integers(2, TINY_SIZES["vocab_size"], (case.texts, LENGTH)))
    model = model_on(device, folder, method)
    wanted = gradients(engine_for(model, cached=True, chunk_tokens=1024), texts)
    whole = case.texts * LENGTH
    engine = engine_for(model, chunk_tokens=whole)
    taken = fill(device, case.left_bytes)
    found: Gradients = gradients(engine, texts)
    del taken
    result = {
        "cached": engine.cached,
        "chunk_tokens": engine.chunk_tokens,
        "chunk_tokens_before": whole,
        "loss_difference": abs(found[0] - wanted[0]),
        "gradient_distance": distance(found, wanted),
    }
    sys.stdout.write(json.dumps(result) + "\n")


def fill(device: str, left_bytes: float) -> torch.Tensor | None:
    """Leave no more memory than that; what is returned holds the rest."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
        return torch.empty(int(free - left_bytes), dtype=torch.uint8, device=device)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(mapped + left_bytes), hard))
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
