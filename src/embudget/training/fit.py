"""Does a run fit into the memory that there is? Asked before anything is loaded.

Refused is only what cannot fit: weights, states and one text at a time take more than the whole device. What is merely
tight is tried, since estimates are rough and chunks shrink when memory is short (`embudget.training.engine`).
"""

from embudget.errors import InfeasibleError
from embudget.memory import (
    BF16_BYTES,
    USABLE_SHARE,
    activation_bytes,
    model_bytes,
    training_bytes,
    ways_to_fit,
    written,
)
from embudget.training.device import device_bytes, sharing, start_processes
from embudget.training.job import Job


def check_fits(job: Job) -> None:
    """Refuse a run that cannot fit into the memory of its device.

    Raises:
        InfeasibleError: says what it needs, and which strategy would fit.
    """
    config, resources = job.config, job.resources
    shards = start_processes().num_processes if resources.shard else 1
    there = device_bytes() / sharing(resources.neighbours)
    bf16 = config.precision == "bf16"
    least = model_bytes(job.method, job.shape, bf16=bf16, shards=shards)
    a_text = activation_bytes(job.method, job.shape, config.max_length, BF16_BYTES if bf16 else 4)
    name = f"{config.model} {config.method}"
    if least + a_text > there:
        several = f" of each of {shards} devices" if shards > 1 else ""
        ways = ways_to_fit(
            job.method, job.shape, config.batch_size, config.max_length, USABLE_SHARE * there,
            negatives=config.negatives, bf16=bf16, shards=shards,
        )  # fmt: skip
        raise InfeasibleError(
            f"{name} needs at least {written(least + a_text)} of memory{several} to train, got {written(there)}: {ways}"
        )
    if resources.cache == "never":
        tokens = job.tokens_per_pair * config.batch_size / start_processes().num_processes
        direct = least + activation_bytes(job.method, job.shape, tokens, BF16_BYTES if bf16 else 4)
        if direct > there:
            cached = training_bytes(
                job.method, job.shape, config.batch_size, config.max_length, negatives=config.negatives, bf16=bf16,
                shards=shards,
            )  # fmt: skip
            raise InfeasibleError(
                f"{name} needs about {written(direct)} of memory for a batch of {config.batch_size} pairs at once, got "
                f"{written(there)}: use gradient caching, --cache auto, which needs {written(cached)}"
            )
