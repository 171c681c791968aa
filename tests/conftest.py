"""Shared fixtures: tiny random models with a real tokenizer, made in a second, offline."""

import json
import os
import random
import signal

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library of Hugging Face reads it
# two test processes with two threads each would spin, and sums over them differ in their last digits
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.command_line import run  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from embudget.pairs import Pairs

torch.set_num_threads(1)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, by all processes that tests start too

CHAT_TEMPLATE = "{% for message in messages %}<|chat|>{{ message.content }}{% endfor %}"
"""A template that changes every text it is applied to."""

TINY_TEXT = [
    "Return the number of bytes that a file takes on disk.",
    "Opens the connection, sends one request and waits for the answer.",
    "The list of users who may read the object; empty if nobody may.",
    "Raised when a value lies outside the interval that the caller allows.",
    "A queue keeps its messages until one consumer has confirmed each of them.",
    "Compute the mean of all values, and the standard error of that mean.",
    "Deletes the table. This cannot be undone, and its indexes go with it.",
    "Whether the process is still running: true until it has been stopped.",
]


def save_tokenizer(folder: Path, chat_template: str | None = CHAT_TEMPLATE) -> Any:  # noqa: ANN401 - untyped library
    """A byte-level BPE tokenizer of about 400 tokens, with end-of-text 0 and pad 1."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>", "<|pad|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TINY_TEXT, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|end|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    wrapped.chat_template = chat_template
    wrapped.save_pretrained(folder)
    return wrapped


TINY_SIZES = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 1,
}
"""Small enough to train in milliseconds, with an odd feed-forward size so that a formula with 4h is found out."""

TINY_GROUPED: dict[str, object] = {"num_key_value_heads": 2, "head_dim": 24}
"""For the Llama-like: grouped queries, and heads that do not multiply to the hidden size."""


def save_tiny(folder: Path, architecture: str, **sizes: object) -> Path:
    """A random language model of an architecture, with weights that depend on nothing but these arguments."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(architecture, **(TINY_SIZES | sizes))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # biases and norms too, which start at constants
            torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.1)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random GPT-NeoX model: 4 blocks, biases, a tokenizer with a chat template."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-neox", "gpt_neox")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Llama model: 4 blocks, grouped queries, a tokenizer with a chat template."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-llama", "llama", **TINY_GROUPED)


@pytest.fixture(scope="session")
def tiny_text() -> list[str]:
    """Eight sentences that the tiny tokenizer was trained on."""
    return TINY_TEXT


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> "Pairs":
    """A folder of 1,600 made pairs in 45 groups; a query and its positive share their rarest words."""
    from embudget.pairs import build_pairs

    rng = random.Random(0)
    verbs = ["open", "close", "delete", "measure", "rotate", "publish", "archive", "restore", "inspect", "rename"]
    nouns = ["bucket", "table", "queue", "secret", "cluster", "stream", "policy", "snapshot", "alarm", "gateway"]
    words = ["amber", "basalt", "cedar", "dune", "ember", "fjord", "garnet", "heath", "iris", "jade"]
    folder = tmp_path_factory.mktemp("pairs")
    with (folder / "made.jsonl").open("w") as file:
        for number in range(1600):
            verb, noun, first, second = rng.choice(verbs), rng.choice(nouns), *rng.sample(words, 2)
            row = {
                "query": f"How to {verb} the {first} {second} {noun} number {number}",
                "positive": f"The {noun} called {first} {second} {number} lets its owner {verb} it "
                + "at any time, from any place, without a further word. " * rng.randint(0, 2),
                "group": f"service-{number % 45}",
            }
            file.write(json.dumps(row) + "\n")
    return build_pairs([f"files:{folder / 'made.jsonl'}"], folder / "pairs")


@pytest.fixture(scope="session")
def hard_pairs(tiny_pairs: "Pairs", tmp_path_factory: pytest.TempPathFactory) -> "Pairs":
    """The pairs of ``tiny_pairs`` with 0 to 3 hard negatives each, of which some are right answers after all."""
    from tests.hard_negatives import some_negatives, with_negatives

    return with_negatives(tiny_pairs, tmp_path_factory.mktemp("hard") / "pairs", some_negatives(tiny_pairs))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest test first, so that the other process does the rest meanwhile."""
    items.sort(key=lambda item: "smoke" not in item.name)
