"""In which numbers a run multiplies its matrices: what was asked for, settled before the run has its id.

Some CPUs multiply bf16 matrices 3 to 7 times faster than float32 ones (those with AMX), others 4 times slower. So
`auto` asks the machine: it times a block's matrix products at the model's own sizes, forward and backward, in either
precision in turn. Where these are 1.3 times faster in bf16, the run trains in bf16. Attention counts with the linear
layers: an AMD EPYC multiplies bf16 matrices twice as fast as float32 ones, but goes back through attention in bf16 so
slowly that whole steps of a small model take longer (docs/log.md).

Without a wish, CUDA devices that compute in bf16 use it and everything else float32: on CPUs with fast bf16 it has not
been shown yet that the losses are equal within the noise of seeds (docs/log.md).

What this returns goes into `RunConfig.precision`, and so into the id of the run.
"""

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal, cast, get_args

from embudget.errors import ConfigError
from embudget.memory import CHUNK_TOKENS
from embudget.records.config import Precision
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    import torch

AskedPrecision = Literal["auto", "float32", "bf16"]
"""What a user may ask for; `auto` measures which one is faster."""

WORTH_IT = 1.3
"""bf16 is used where its products are this many times faster. assumption: a step is products to two thirds and more, so
that 1.3 times faster products still shorten it by a seventh; less would not pay for the rounding."""

TEXT_TOKENS = 64
"""Length of the texts in the attention that is timed: about what a chunk is padded to where texts are cut at 75."""

SECONDS = 0.7
"""Time that the measurement may take, for both precisions together."""

_FEWEST_ROUNDS, _MOST_ROUNDS = 4, 25
_LARGEST = 2048
"""Sides of matrices are cut to this: from there on the rate does not depend on them, but the time does."""
_FEWEST_ROWS = 64
_PROBED, _HOPELESS = 256, 4.0
"""A product of matrices with such sides that takes so many times as long in bf16 settles it: where that is emulated, a
block of a large model takes many seconds."""


def resolve_precision(
    asked: AskedPrecision | None, shape: ModelShape, device: "torch.device | str | None" = None
) -> Precision:
    """Settle in which numbers a run on this machine multiplies its matrices.

    Several processes that train one model agree: the first one measures.

    Args:
        asked: auto, float32 or bf16; None for the default, bf16 on CUDA devices that compute in it, else float32.
        shape: the model; of a study the largest one, on which most of the time goes.
        device: that of the run; by default the one that training would take.

    Raises:
        ConfigError: another precision is asked for.

    Example:
        >>> resolve_precision("auto", find_shape("smollm2-135m"), "cpu")
        'float32'
    """
    if asked is not None and asked not in get_args(AskedPrecision):
        raise ConfigError(f"precision must be {', '.join(get_args(AskedPrecision))}, got {asked}")
    if asked == "float32" or asked == "bf16":
        return asked
    import torch

    if device is None:
        from embudget.training.device import start_processes

        device = start_processes().device
    device = torch.device(device)
    if asked is None:
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if fast else "float32"
    return _agreed(shape, device)


def study_precision(
    asked: AskedPrecision | None,
    shapes: Sequence[ModelShape],
    there: Collection[Precision] = (),
    device: "torch.device | str | None" = None,
) -> Precision:
    """Settle one precision for all runs of a study, so that they compare and a sweep that is repeated finds its runs.

    Args:
        asked: what the study says, None for nothing.
        shapes: the members; the largest one decides.
        there: the precisions of those runs of the study that its store holds already. Unless one is asked for by name,
            the study goes on in theirs.
        device: as in `resolve_precision`.

    Raises:
        ConfigError: another precision is asked for.
    """
    if asked in (None, "auto") and len(set(there)) == 1:
        return next(iter(there))
    return resolve_precision(asked, max(shapes, key=lambda shape: shape.model_params), device)


def _agreed(shape: ModelShape, device: "torch.device") -> Precision:
    from accelerate.utils import broadcast_object_list

    from embudget.training.device import start_processes

    place = start_processes()
    answer: list[object] = [None]
    if place.is_main_process:
        answer[0] = "bf16" if bf16_speedup(shape, device) >= WORTH_IT else "float32"
    return cast("Precision", broadcast_object_list(answer)[0] if place.num_processes > 1 else answer[0])


def bf16_speedup(shape: ModelShape, device: "torch.device | str" = "cpu") -> float:
    """How many times faster a block's products are in bf16 than in float32 at a model's sizes; measured once a process.

    Products are those of the linear layers and of attention, without what lies between them.
    """
    import torch

    sizes = sorted((min(linear.inputs, _LARGEST), min(linear.outputs, _LARGEST)) for linear in shape.linears)
    heads = min(shape.heads, max(1, _LARGEST // shape.head_dim)), shape.head_dim
    return _measured(tuple(sizes), heads, shape.causal, str(device), torch.get_num_threads())


@cache
def _measured(
    sizes: tuple[tuple[int, int], ...], heads: tuple[int, int], causal: bool, device: str, threads: int
) -> float:
    """Ratio of the times of a block's products, over as many tokens as the time allows, at most a chunk's.

    Each product has medians of its own, of repeats of both precisions in turn. On a CPU the clock is this thread's,
    which does not run while another program has the core; by the wall's, ratios on a busy machine were off by up to 20
    times.
    """
    import torch

    kinds = (torch.float32, torch.bfloat16)
    distinct = tuple(dict.fromkeys(sizes))
    counts = [*map(sizes.count, distinct), 1]

    def seconds(kind: "torch.dtype", rows: int) -> list[float]:
        return [_linear(size, rows, kind, device) for size in distinct] + [
            _attention(heads, causal, rows, kind, device)
        ]

    probe = min(distinct[0][0], _PROBED), min(distinct[0][1], _PROBED)
    for kind in kinds:  # the first product of a kind loads its kernels
        _linear(probe, _FEWEST_ROWS, kind, device)
    full, half = (_linear(probe, _FEWEST_ROWS, kind, device) for kind in kinds)
    if half > _HOPELESS * full:
        return full / half
    started = time.perf_counter()
    for kind in kinds:
        seconds(kind, _FEWEST_ROWS)
    once = time.perf_counter() - started
    rows = max(_FEWEST_ROWS, min(CHUNK_TOKENS, int(_FEWEST_ROWS * SECONDS / (_FEWEST_ROUNDS * once))))
    ended = time.perf_counter() + SECONDS
    found: dict[torch.dtype, list[list[float]]] = {kind: [] for kind in kinds}
    for done in range(_MOST_ROUNDS):
        if done >= _FEWEST_ROUNDS and time.perf_counter() > ended:
            break
        for kind in kinds:
            found[kind].append(seconds(kind, rows))

    def of_block(rounds: list[list[float]]) -> float:
        later = rounds[1:]  # the first one makes kernels for these sizes
        medians = [statistics.median([one[place] for one in later]) for place in range(len(counts))]
        return sum(count * median for count, median in zip(counts, medians, strict=True))

    return of_block(found[torch.float32]) / of_block(found[torch.bfloat16])


def _linear(size: tuple[int, int], rows: int, kind: "torch.dtype", device: str) -> float:
    """Seconds of the three products of a linear layer, without making their matrices."""
    import torch

    inputs, outputs = size
    x, weight, gradient = (
        torch.ones(shape, dtype=kind, device=device) for shape in ((rows, inputs), (outputs, inputs), (rows, outputs))
    )

    def products() -> None:
        torch.mm(x, weight.T)
        torch.mm(gradient, weight)
        torch.mm(gradient.T, x)

    return _timed(products, device)


def _attention(heads: tuple[int, int], causal: bool, rows: int, kind: "torch.dtype", device: str) -> float:
    """Seconds of attention within texts, by the kernel that training has without flash attention."""
    import torch

    count, size = heads
    shape = max(1, rows // TEXT_TOKENS), count, TEXT_TOKENS, size
    q, k, v = (torch.ones(shape, dtype=kind, device=device, requires_grad=True) for _ in range(3))

    def there_and_back() -> None:
        torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal).sum().backward()

    return _timed(there_and_back, device)


def _timed(work: Callable[[], None], device: str) -> float:
    clock = time.thread_time if device.startswith("cpu") else time.perf_counter
    _finish(device)
    started = clock()
    work()
    _finish(device)
    return clock() - started


def _finish(device: str) -> None:
    """Wait for what a GPU has been given."""
    import torch

    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)
