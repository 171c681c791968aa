"""The engine of a run: which kernel, caching and store its model, its memory and its resources ask for."""

from typing import TYPE_CHECKING

from embudget.errors import RunError
from embudget.methods import Method
from embudget.pairs import Pairs, token_stats
from embudget.pairs.token_cache import TokenCache
from embudget.records import RunConfig
from embudget.suite import find_shape
from embudget.training.attention import use_flash_attention
from embudget.training.encoder import Encoder, base_decoder
from embudget.training.engine import Engine
from embudget.training.memory import needs_cache, uses_bf16
from embudget.training.prefix_store import PrefixStore
from embudget.training.processes import start_processes
from embudget.training.resources import Resources

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def engine_of_run(
    model: "SentenceTransformer",
    method: Method,
    config: RunConfig,
    pairs: Pairs,
    tokens: TokenCache,
    resources: Resources,
) -> Engine:
    """The engine of a run, with what its memory and its resources ask for."""
    place, shape = start_processes(), find_shape(config.model)
    flatten = use_flash_attention(model)  # before the encoder, whose parts take over the kernel
    encoder = Encoder(model, autocast=uses_bf16())
    a_batch = token_stats(pairs, config.model, config.max_length).tokens_per_pair * config.batch_size
    shared_by = resources.neighbours * (1 if place.device.type == "cuda" else place.num_processes)  # of this machine
    cached = resources.cache == "always" or (
        resources.cache == "auto" and needs_cache(method, shape, a_batch / place.num_processes, shared_by)
    )
    if resources.compile:
        for block in base_decoder(model[0].model).layers:
            block.compile(dynamic=True)
    store = None
    if resources.precompute_prefix:
        if not encoder.prefix_blocks:
            raise RunError(f"precompute_prefix needs frozen blocks, got method {method} on {config.model}")
        store = PrefixStore(tokens, config.model, encoder.prefix_blocks, encoder.hidden_size)
    return Engine(
        encoder, config.scale, cached, flatten=flatten, store=store, rank=place.process_index,
        processes=place.num_processes,
    )  # fmt: skip
