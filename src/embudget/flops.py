"""Compute: from tokens to FLOP and back, and from device time and money to FLOP.

Algorithmic FLOP decide a budget. A run of a method on a model of shape s over D tokens costs

    C = c(method, s) D        c: FLOP per token, the table in `embudget.methods.base`

so that a budget buys D = C / c tokens. Executed FLOP say what the hardware did. They also count padding, attention
scores and second forward passes, with each block counted as often as it ran:

    forward     2N tokens_padded + 4 l a d sum(length^2)      l blocks, a heads of size d; scores and weighted values
    backward    as the method's table, and twice the attention of the blocks it passes through
    dense       2P texts forward, (2P + 2T) texts backward, by the `Dense` modules behind the pooling of some retrievers

Against torch's flop counter on small models these agree within 10 %: the counter sees matrix products only (no norms,
no element-wise work, no embedding look-up), while N also holds the norms' weights and the biases; and with LoRA nothing
below the first block trains, so that the gradients of its inputs, counted here, are not computed.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from embudget.errors import BudgetError
from embudget.limits import MOST_FLOPS
from embudget.number import read_number

if TYPE_CHECKING:
    from embudget.methods import Method
    from embudget.suite.shapes import ModelShape


def train_flops(method: "Method", shape: "ModelShape", tokens: float) -> float:
    """Algorithmic FLOP of training on ``tokens`` non-pad tokens."""
    return method.flops_per_token(shape) * tokens


def tokens_for(budget: float, method: "Method", shape: "ModelShape") -> float:
    """Tokens, D, that a budget in FLOP buys."""
    return budget / method.flops_per_token(shape)


def steps_for(budget: float, method: "Method", shape: "ModelShape", tokens_per_pair: float, batch_size: int) -> float:
    """Optimiser steps that a budget in FLOP buys, as a real number; a run takes the next whole number."""
    return tokens_for(budget, method, shape) / (tokens_per_pair * batch_size)


class Passes(NamedTuple):
    """Tokens that went through a model, padding included, and the sums of the squared padded lengths of the texts."""

    prefix_tokens: int = 0
    """Tokens through the blocks below the first trained one."""
    prefix_squares: int = 0
    forward_tokens: int = 0
    """Tokens through the first trained block and those above it; gradient caching counts them twice."""
    forward_squares: int = 0
    backward_tokens: int = 0
    """Tokens whose gradients went back through these blocks."""
    backward_squares: int = 0
    forward_texts: int = 0
    """Texts through the `Dense` modules behind the pooling; gradient caching counts them twice."""
    backward_texts: int = 0


def executed_flops(method: "Method", shape: "ModelShape", passes: Passes) -> float:
    """FLOP that the hardware executes, the optimiser's element-wise work not counted."""
    trained_blocks = method.backward_layers(shape)
    frozen_blocks = shape.layers - trained_blocks
    frozen = 2 * frozen_blocks * shape.block_params
    attention = 4 * shape.heads * shape.head_dim  # one block, forward
    matrices = (
        frozen * passes.prefix_tokens
        + (method.forward_flops_per_token(shape) - frozen) * passes.forward_tokens
        + method.backward_flops_per_token(shape) * passes.backward_tokens
    )
    squares = frozen_blocks * passes.prefix_squares + trained_blocks * (
        passes.forward_squares + 2 * passes.backward_squares
    )
    dense = (
        method.forward_flops_per_text(shape) * passes.forward_texts
        + method.backward_flops_per_text(shape) * passes.backward_texts
    )
    return matrices + attention * squares + dense


ATTENTION_SAID = 0.1
"""Share of the algorithmic FLOP from which on we say what attention adds: the formulas' own error is as large."""


def attention_share(method: "Method", shape: "ModelShape", lengths: Iterable[float]) -> float:
    """What attention scores and weighted values add to the algorithmic FLOP of training, as a share of it.

    Budgets leave it out, as 6ND does. It grows with the length of the texts: 4 l a d L FLOP a token and forward pass,
    three times as much in training, beside 6N. With torch's counter it agrees within 10 % from 500 tokens on.

    Args:
        method: what is trained: attention is computed in all blocks, and gone back through in those that train.
        shape: the member's.
        lengths: tokens of each text; several texts of one length count as often as they occur.

    Returns:
        0.14 where attention adds 14 %. Attention is counted in full; a kernel that skips what the causal mask hides
        executes half of it.

    Example:
        >>> shape = find_shape("smollm2-135m")
        >>> [round(attention_share(Full(), shape, [length]), 2) for length in (75, 1024, 8192)]
        [0.02, 0.33, 2.67]
    """
    tokens, squares = 0.0, 0.0
    for length in lengths:
        tokens += length
        squares += length * length
    if not tokens:
        return 0.0
    trained_blocks = method.backward_layers(shape)
    passes = (shape.layers - trained_blocks) + 3 * trained_blocks
    return 4 * shape.heads * shape.head_dim * passes * squares / train_flops(method, shape, tokens)


def say_attention(share: float, where: str = "at these lengths") -> list[str]:
    """A line on what attention adds, where that is worth saying; else none."""
    if share <= ATTENTION_SAID:
        return []
    return [f"attention adds {100 * share:.0f} % to the algorithmic FLOP {where}, which budgets do not count"]


class Device(NamedTuple):
    """Peak dense throughput and a price of one accelerator."""

    peak_flops: float
    """FLOP/s in bf16 with fp32 accumulation and without sparsity, from the vendor's data sheet."""
    dollars_per_hour: float
    """assumption: order of magnitude of on-demand prices in 2025; give your own price wherever money matters."""
    memory_bytes: float
    """From the data sheet. Those of the A100 are of its larger variant."""
    source: str


DEVICES = {
    "a100": Device(312e12, 1.8, 80e9, "NVIDIA A100 Tensor Core GPU data sheet"),
    "b200": Device(2250e12, 5.0, 180e9, "NVIDIA HGX B200 data sheet, an eighth of the board"),
    "h100": Device(989.4e12, 3.0, 80e9, "NVIDIA H100 Tensor Core GPU data sheet, SXM"),
    "h200": Device(989.4e12, 3.5, 141e9, "NVIDIA H200 Tensor Core GPU data sheet, SXM"),
    "l4": Device(121e12, 0.8, 24e9, "NVIDIA L4 Tensor Core GPU data sheet"),
    "l40s": Device(362.05e12, 1.2, 48e9, "NVIDIA L40S GPU data sheet"),
    "mi300x": Device(1307.4e12, 3.0, 192e9, "AMD Instinct MI300X data sheet"),
    "rtx4090": Device(165.2e12, 0.5, 24e9, "NVIDIA Ada GPU architecture white paper, table 2"),
}
"""Devices by the name a user writes. Where a data sheet prints the sparse peak, the dense one is half of it."""

DEFAULT_MFU = 0.4
"""assumption: share of the peak throughput that fine-tuning reaches; measure yours and pass it."""


def parse_budget(text: str | float) -> float:
    """Read a budget in FLOP: ``1e17``, ``1.5e15``.

    Raises:
        BudgetError: not a number, not finite, not positive, or above 1e30.
    """
    return read_number(text, "budget", above=0, most=MOST_FLOPS, unit="of FLOP such as 1e17", kind=BudgetError)


def budget_of_gpu_hours(gpu_hours: float, device: str, mfu: float = DEFAULT_MFU) -> float:
    """FLOP that ``gpu_hours`` on a device are worth at a model FLOP utilisation of ``mfu``.

    Raises:
        BudgetError: unknown device, hours not positive, or mfu not in (0, 1].
    """
    if not 0 < mfu <= 1:
        raise BudgetError(f"mfu must be in (0, 1], got {mfu:g}")
    hours = _positive("gpu_hours", gpu_hours)
    return parse_budget(hours * 3600 * find_device(device).peak_flops * mfu)


def resolve_budget(
    budget: str | float | None = None,
    *,
    gpu_hours: float | None = None,
    dollars: float | None = None,
    device: str | None = None,
    mfu: float | None = None,
    dollars_per_hour: float | None = None,
) -> float:
    """FLOP of a budget given in one of three ways: FLOP, hours of a device, or dollars spent on a device.

    Dollars buy hours at ``dollars_per_hour``, or else at the table's price.

    Raises:
        BudgetError: not exactly one of them is given, a device is missing, or a value is out of range.
    """
    given = {"budget": budget, "gpu_hours": gpu_hours, "dollars": dollars}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise BudgetError(f"give exactly one of budget, gpu_hours and dollars, got {' and '.join(names) or 'none'}")
    if budget is not None:
        if any(value is not None for value in (device, mfu, dollars_per_hour)):
            raise BudgetError(
                "device, mfu and dollars_per_hour go with gpu_hours or dollars, not with a budget in FLOP"
            )
        return parse_budget(budget)
    if device is None:
        raise BudgetError(f"{names[0]} needs a device: one of {', '.join(DEVICES)}")
    if gpu_hours is not None and dollars_per_hour is not None:
        raise BudgetError("dollars_per_hour goes with dollars, not with gpu_hours, which have no price")
    if gpu_hours is None:
        assert dollars is not None
        price = find_device(device).dollars_per_hour if dollars_per_hour is None else dollars_per_hour
        gpu_hours = _positive("dollars", dollars) / _positive("dollars_per_hour", price)
    return budget_of_gpu_hours(gpu_hours, device, DEFAULT_MFU if mfu is None else mfu)


def find_device(name: str) -> Device:
    """Look a device up.

    Raises:
        BudgetError: the device is not in the table.
    """
    try:
        return DEVICES[name.lower()]
    except KeyError:
        raise BudgetError(f"device must be one of {', '.join(DEVICES)}, got {name!r}") from None


def _positive(field: str, value: float) -> float:
    return read_number(value, field, above=0, most=MOST_FLOPS, kind=BudgetError)
