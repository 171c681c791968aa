"""A model that was trained by LoRA, which every format can hold."""

from pathlib import Path

import pytest

from embudget.pairs import Pairs
from embudget.training.run import train
from tests.training.test_run import config_for


@pytest.fixture(scope="session")
def tuned(tiny_llama: Path, tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run by LoRA on the first 2 of 4 blocks of a Llama, whose texts are cut to 32 tokens."""
    folder = tmp_path_factory.mktemp("tuned") / "model"
    train(config_for(Path(f"{tiny_llama}:2"), tiny_pairs, "lora:4", train_flops=8e8), tiny_pairs, folder)
    return folder
