"""An estimate of the device memory that training takes, from the sizes of model and method alone.

    weights        4 bytes a parameter, embeddings, adapters and `Dense` modules included (float32 master weights)
    states         12 bytes a trained parameter: float32 gradient and the two moments of AdamW
    copy           2 bytes a parameter of the blocks, in bf16: one copy for all chunks, made once a step. Frozen weights
                   that bf16 holds exactly lose their float32 original, 4 bytes, which is not counted on
    activations    of one chunk: a run whose batch does not fit falls back to gradient caching
    batch          embeddings, their gradients and the scores of all pairs with all, in float32

On several devices each takes the same, unless the blocks are sharded (`embudget.training.sharding`). Then weights and
states of the blocks are divided by the devices; those of the input embedding and of `Dense` modules are not. In place
of the copy come two blocks that are put together, in bf16 or float32, and the whole gradient of one, in both and in
float32.

Activations: a block of hidden size h, inner size i and key-value width k keeps about 14h + 4k + 4i numbers per token
for its backward pass: inputs and outputs of norms and of the linear layers, rotated queries and keys, the gated
product. Attention probabilities are not kept (fused kernels recompute them). Against what torch keeps for the five
architectures (on a CPU, 4 blocks of hidden size 256; full, half frozen and LoRA) this is 0.98 to 2.1 times as much in
float32 and, under bf16 autocast at 3 bytes a number, 0.96 to 3 times: gemma3_text has the most, gpt_neox the least.
assumption: the same holds on a device.
"""

import math
import re

from embudget.errors import ConfigError, shortened
from embudget.methods import Method, kind_of, parse_method
from embudget.suite.shapes import ModelShape

CHUNK_TOKENS = 2048
"""Padded tokens a chunk may hold. assumption: enough for efficient matrix products, and few enough to bound the memory
when gradients are cached; other values were not measured."""

BF16_BYTES = 3
"""Bytes that an activation takes under bf16 autocast, on average: residuals and norms stay float32."""

USABLE_SHARE = 0.9
"""assumption: share of a device's memory that training can use; the driver's context (about 0.5 GB) and fragmentation
take the rest."""

LORA_RANK = 32
"""Rank of the adapters that are named as a way out."""

LEAST_MEMORY = 1e6
"""Bytes that any device has: a smaller number without a unit is one whose unit was forgotten."""
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30, "ti": 2.0**40}
_SIZE = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(?:([kmgt]i?)?b)?\s*", re.IGNORECASE)


def activation_bytes(method: Method, shape: ModelShape, tokens: float, bytes_per_number: int = 4) -> float:
    """Bytes of activations that a direct forward pass over ``tokens`` keeps for the backward pass."""
    numbers = 14 * shape.hidden + 4 * shape.kv_heads * shape.head_dim + 4 * shape.intermediate
    return method.backward_layers(shape) * numbers * tokens * bytes_per_number


def state_bytes(method: Method, shape: ModelShape, shards: int = 1) -> float:
    """Bytes of gradients and optimiser moments: 12 a trained parameter, embedding and `Dense` modules included.

    With ``shards`` processes each has a share of the blocks', and all of the others.
    """
    around = method.trained_dense_params(shape) + (shape.embedding_params if method.trains_embedding else 0)
    return 12.0 * (method.trained_params(shape) / shards + around)


def training_bytes(
    method: Method,
    shape: ModelShape,
    batch_size: int,
    max_length: int,
    *,
    negatives: int = 0,
    bf16: bool = True,
    shards: int = 1,
) -> float:
    """Bytes that training takes at its peak, with gradient caching, in bf16 or all in float32.

    The default is bf16, in which GPUs train unless told otherwise. The longest text counts with its ``max_length``
    tokens, since one longer than a chunk makes a chunk of its own. The hard ``negatives`` of each pair are further
    texts, whose scores are held in blocks. With ``shards`` the bytes are those of each of so many devices.
    """
    activations = activation_bytes(method, shape, max(CHUNK_TOKENS, max_length), BF16_BYTES if bf16 else 4)
    embeddings = 2 * 4.0 * ((2 + negatives) * batch_size) * shape.embedding_size  # with their gradients
    scores = 4 * 4.0 * batch_size**2  # with their gradient, and log-probabilities by rows and by columns
    return model_bytes(method, shape, bf16=bf16, shards=shards) + activations + embeddings + scores


def model_bytes(method: Method, shape: ModelShape, *, bf16: bool = True, shards: int = 1) -> float:
    """Bytes on each device of weights, their copies, gradients and optimiser moments, whatever the batch."""
    total = method.total_params(shape)
    weights = 4.0 * (total / shards + shape.embedding_params + shape.dense_params)
    if shards == 1:
        together = 2.0 * total if bf16 else 0.0
    else:
        number = 2 if bf16 else 4
        trained = method.trained_params(shape) / method.backward_layers(shape)
        together = 2 * number * total / shape.layers + (number + 4) * trained
    return weights + together + state_bytes(method, shape, shards)


def ways_to_fit(
    method: Method,
    shape: ModelShape,
    batch_size: int,
    max_length: int,
    usable: float,
    *,
    negatives: int = 0,
    bf16: bool = True,
    shards: int = 1,
) -> str:
    """What of a run that does not fit would make it fit, as the end of a message; what it takes is that of each device.

    Args:
        method: as it is asked for.
        shape: the model.
        batch_size: pairs.
        max_length: tokens of the longest text.
        usable: bytes that training may take.
        negatives: hard negatives of each pair.
        bf16: whether matrices are multiplied in bf16.
        shards: devices over which the blocks are cut.
    """
    adapters = parse_method(f"lora:{LORA_RANK}")
    counts = [shards, *(2**power for power in range(1, 11) if 2**power > shards)]

    def fewest(other: Method, low: bool, most: int | None = None) -> str | None:
        """The fewest devices on which a method fits, with what is to be asked for."""
        for count in counts[:most]:
            needed = training_bytes(other, shape, batch_size, max_length, negatives=negatives, bf16=low, shards=count)
            if needed <= usable:
                changes = [str(other)] if other != method else []
                changes += ["--precision bf16"] if low != bf16 else []
                changes += [f"--devices {count} --shard"] if count != shards else []
                return f"{' '.join(changes)} ({written(needed)})"
        return None

    ways = [None if bf16 else fewest(method, True, most=1)]
    ways += [None if kind_of(str(method)) == "lora" else fewest(adapters, bf16), fewest(method, bf16)]
    found = [way for way in ways if way is not None]
    return f"use {' or '.join(found)}" if found else "use a smaller model or batch"


def parse_bytes(text: str | float) -> float:
    """Read an amount of memory: ``24GB`` (1e9 bytes each), ``80GiB`` (2^30), ``512MB``, or plain bytes.

    Raises:
        ConfigError: it cannot be read, or is not positive.
    """
    found = _SIZE.fullmatch(str(text))
    try:
        amount = float(found[1]) * _UNITS[(found[2] or "").lower()] if found else 0.0
    except ValueError:  # 1.2.3
        amount = 0.0
    said = shortened(repr(text), 60)
    if not 0 < amount < math.inf:
        raise ConfigError(f"device_memory must be > 0, as 24GB, 80GiB, 512MB or a number of bytes, got {said}")
    if found and not found[2] and amount < LEAST_MEMORY and not str(text).rstrip().lower().endswith("b"):
        raise ConfigError(f"device_memory without a unit is in bytes, got {said}: did you mean {found[1]}GB?")
    return amount


def written(amount: float) -> str:
    """Bytes for a reader, as 24 GB or 512 MB; units of 1e9 and 1e6."""
    return f"{amount / 1e9:.3g} GB" if amount >= 1e9 else f"{amount / 1e6:.3g} MB"
