"""One GPT-NeoX language model: its initialisation, its training loop with checkpoints, its held-out loss.

The recipe is that of Pythia (Biderman et al. 2023 and its published configurations): parallel residuals, rotary
positions on a quarter of each head, an untied output head, weights drawn with variance 2 / 5h for the hidden size h,
no dropout, AdamW with betas 0.9 and 0.95 and no decay on vectors, gradients clipped at norm 1, linear warm-up, then a
cosine to a tenth of the peak rate. Different from it: no second, depth-dependent scale of the output projections.

Shapes: B sequences, T tokens a sequence.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embudget.errors import RunError
from embudget.suite.checkpoints import restore, save
from embudget.suite.corpus import END_OF_TEXT, PAD

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import GPTNeoXForCausalLM

    Tokens = NDArray[np.integer[Any]]

FINAL_RATE = 0.1
"""The last learning rate as a share of the peak."""

HELDOUT_TOKENS = 262_144
"""Held-out tokens that the perplexity is measured on at most: its standard error is then below half a percent."""


class Recipe(NamedTuple):
    """How to train; see `embudget.suite.pretrain_config` for the fields."""

    steps: int
    batch_size: int
    sequence_length: int
    learning_rate: float
    warmup: float
    weight_decay: float
    seed: int
    checkpoint_seconds: float
    checkpoint_steps: int | None

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rising = math.ceil(self.warmup * self.steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        share = (step - rising) / max(1, self.steps - rising)
        return self.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * share)) / 2)


def new_model(
    *, vocab_size: int, layers: int, hidden: int, heads: int, intermediate: int, max_length: int, seed: int
) -> "GPTNeoXForCausalLM":
    """A model with random weights that depend on the sizes and the seed only."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=vocab_size,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=max_length,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        initializer_range=math.sqrt(2 / (5 * hidden)),
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=0,  # the special tokens come first in the vocabulary, in the corpus's order
        eos_token_id=0,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTNeoXForCausalLM(config)


class Batches:
    """The training sequences in the order of a seed; every epoch is another permutation of all of them.

    Args:
        tokens: the token ids of the whole text.
        recipe: gives sequence length, batch size and seed.
    """

    def __init__(self, tokens: "Tokens", recipe: Recipe) -> None:
        self.tokens = tokens
        self.recipe = recipe
        self.windows = window_count(tokens, recipe.sequence_length)
        self.orders: dict[int, NDArray[np.intp]] = {}

    def __getitem__(self, step: int) -> "NDArray[np.int64]":
        """Token ids of one step, (B, T + 1): each sequence with the token that follows it."""
        size = self.recipe.batch_size
        places = [divmod(place, self.windows) for place in range(step * size, (step + 1) * size)]
        return windows_BT(self.tokens, self.recipe.sequence_length, [self._order(epoch)[i] for epoch, i in places])

    def _order(self, epoch: int) -> "NDArray[np.intp]":
        if epoch not in self.orders:
            self.orders = {e: order for e, order in self.orders.items() if e == epoch - 1}  # a batch may span two
            self.orders[epoch] = np.random.default_rng([self.recipe.seed, epoch]).permutation(self.windows)
        return self.orders[epoch]


def window_count(tokens: "Tokens", length: int) -> int:
    """How many sequences of ``length`` inputs, each with the token that follows it, a text has."""
    return (len(tokens) - 1) // length


def windows_BT(tokens: "Tokens", length: int, indices: Iterable[int]) -> "NDArray[np.int64]":
    """The sequences of the given indices, (B, T + 1)."""
    return np.stack([tokens[i * length : (i + 1) * length + 1] for i in indices]).astype(np.int64)


def train(
    model: "GPTNeoXForCausalLM",
    tokens: "Tokens",
    recipe: Recipe,
    checkpoints: Path,
    report: Callable[[int, float], None],
) -> float:
    """Train in place, from the last checkpoint if there is one: fp32 on a CPU, bf16 autocast on a GPU.

    Args:
        model: the new model.
        tokens: the training text.
        recipe: how to train.
        checkpoints: folder for this model's checkpoints.
        report: called after each step with its number, counted from 1, and its loss in nats.

    Returns:
        Seconds of training, those before an interruption included.

    Raises:
        RunError: the loss is no longer finite.
    """
    model.to(_device()).train()
    optimizer = _new_optimizer(model, recipe)
    batches = Batches(tokens, recipe)
    checkpoints.mkdir(parents=True, exist_ok=True)
    step, seconds = restore(model, optimizer, checkpoints)
    saved = time.monotonic()
    started = saved - seconds
    while step < recipe.steps:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        loss = _train_step(model, optimizer, batches[step])
        step += 1
        if not math.isfinite(loss):
            raise RunError(f"loss of {checkpoints.name} is {loss} at step {step}: take a lower learning_rate")
        report(step, loss)
        by_steps = recipe.checkpoint_steps is not None and step % recipe.checkpoint_steps == 0
        if step < recipe.steps and (by_steps or time.monotonic() - saved >= recipe.checkpoint_seconds):
            saved = time.monotonic()
            save(model, optimizer, checkpoints, step, saved - started)
    return time.monotonic() - started


def heldout_loss(model: "GPTNeoXForCausalLM", tokens: "Tokens", length: int, batch_size: int) -> tuple[float, int]:
    """Mean cross-entropy in nats a token, in fp32, and the number of tokens it was measured on."""
    import torch

    model.eval()
    count = min(window_count(tokens, length), max(1, HELDOUT_TOKENS // length))
    total = 0.0
    with torch.inference_mode():
        for first in range(0, count, batch_size):
            ids_BT = windows_BT(tokens, length, range(first, min(first + batch_size, count)))
            total += float(_cross_entropy(model, torch.from_numpy(ids_BT))) * ids_BT[:, 1:].size
    return total / (count * length), count * length


def save_model(model: "GPTNeoXForCausalLM", tokenizer_path: Path, folder: Path) -> None:
    """Write a Hugging Face checkpoint with its tokenizer, which has no chat template and adds no token."""
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import logging

    with_bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # one for every file written
    model.save_pretrained(folder)
    if with_bar:
        logging.enable_progress_bar()
    PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_path),
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=PAD,
        model_max_length=model.config.max_position_embeddings,
    ).save_pretrained(folder)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _cross_entropy(model: "GPTNeoXForCausalLM", ids_BT: "torch.Tensor") -> "torch.Tensor":
    from torch.nn.functional import cross_entropy

    ids_BT = ids_BT.to(_device())
    logits_BTV = model(input_ids=ids_BT[:, :-1]).logits
    return cross_entropy(logits_BTV.flatten(0, 1).float(), ids_BT[:, 1:].flatten())


def _train_step(model: "GPTNeoXForCausalLM", optimizer: "torch.optim.Optimizer", ids_BT: "NDArray[np.int64]") -> float:
    import torch

    device = _device()
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        loss = _cross_entropy(model, torch.from_numpy(ids_BT))
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def _new_optimizer(model: "GPTNeoXForCausalLM", recipe: Recipe) -> "torch.optim.AdamW":
    import torch

    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), eps=1e-8)
