"""Running a benchmark without a word of the libraries below, and without a change of the random numbers behind it.

mteb, datasets and sentence-transformers write progress bars, log lines and warnings of their own. mteb also seeds
`random`, NumPy and torch whenever it makes a task, which would change the training that goes on after an evaluation.
"""

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

LOUD = ("mteb", "datasets", "sentence_transformers", "bm25s", "huggingface_hub", "httpx")
"""Loggers that tell of every step."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries within the block, and put all random states back behind it."""
    import torch

    levels = {name: logging.getLogger(name).level for name in LOUD}
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the state mteb seeds
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    bars = os.environ.get("TQDM_DISABLE")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets

        with_bars = datasets.is_progress_bar_enabled()
        for name in LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            datasets.disable_progress_bars()
            os.environ["TQDM_DISABLE"] = "1"
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            if with_bars:
                datasets.enable_progress_bars()
            if bars is None:
                os.environ.pop("TQDM_DISABLE", None)
            else:
                os.environ["TQDM_DISABLE"] = bars
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
            torch.set_rng_state(before[2])
            if cuda:
                torch.cuda.set_rng_state_all(cuda)
