r"""An embedding model cut where its training begins: input embedding, frozen prefix, trained blocks, pooling.

    ids -> embedding -> frozen blocks  -> hidden states -> trained blocks -> final norm -> pooling -> unit embedding
           \_________ `hidden` ________/                  \____________________ `embed` __________________/

What lies below the first trained block runs without a graph, and once for each text: its hidden states serve both
passes of gradient caching, and the backward pass ends there. Where the input embedding trains, the rows that occur in
a batch are gathered beforehand (`embudget.training.rows`) and looked up in place of the whole table, so that neither
its gradient nor its update is ever dense. The modules after the transformer are the model's own.

Shapes: T texts, L tokens, H hidden size, E embedding size, R rows of the input embedding.
"""

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from embudget.training.chunks import Chunk

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Encoder:
    """The parts of a sentence-transformers model whose parameters are already frozen or free.

    Args:
        model: transformer with right padding, pooling, and what follows.
        autocast: whether the transformer runs under bf16 autocast.
    """

    def __init__(self, model: "SentenceTransformer", autocast: bool = False) -> None:
        self.model = model
        self.autocast = autocast
        decoder = base_decoder(model[0].model)
        embedding = decoder.get_input_embeddings()
        self.table: nn.Parameter | None = embedding.weight if embedding.weight.requires_grad else None
        """The input embedding's weight (V, H) where it trains."""
        self.pad_row: int | None = embedding.padding_idx
        """The row that gets no gradient, as `torch.nn.Embedding` has it."""
        self.hidden_size: int = embedding.weight.shape[1]
        self._embedding = copy.copy(embedding)
        self._embedding.padding_idx = None  # rows have other numbers where they are gathered
        self.prefix_blocks = 0 if self.table is not None else _first_trained(decoder)
        """Blocks below the first trained one."""
        self._prefix = _blocks(decoder, 0, self.prefix_blocks, with_norm=False)
        self._suffix = _blocks(decoder, self.prefix_blocks, len(decoder.layers), with_norm=True)

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """Name and value of each trained parameter but the input embedding."""
        return [
            (name, value)
            for name, value in self.model.named_parameters()
            if value.requires_grad and value is not self.table
        ]

    def hidden(self, chunk: Chunk, rows_RH: Tensor | None = None) -> Tensor:
        """Hidden states that enter the first trained block, (T, L, H).

        Args:
            chunk: its ids are positions in ``rows_RH`` where that is given.
            rows_RH: the rows of the input embedding that the batch needs, where they train.
        """
        if rows_RH is not None:
            looked_up: Tensor = torch.func.functional_call(self._embedding, {"weight": rows_RH}, (chunk.ids,))
            return looked_up
        with torch.no_grad(), self._precision(chunk.ids.device):
            hidden_TLH: Tensor = self._embedding(chunk.ids)
            if self.prefix_blocks:
                hidden_TLH = self._run(self._prefix, hidden_TLH, chunk)
            return hidden_TLH

    def embed(self, chunk: Chunk, hidden_TLH: Tensor) -> Tensor:
        """Unit embeddings of a chunk, (T, E) in float32, from what `hidden` gave."""
        with self._precision(hidden_TLH.device):
            states_TLH = self._run(self._suffix, hidden_TLH, chunk)
        features: dict[str, Any] = {"token_embeddings": states_TLH, **chunk.about}
        for module in list(self.model)[1:]:
            features = module(features)
        return functional.normalize(features["sentence_embedding"].float(), dim=-1)

    def _run(self, part: nn.Module, hidden_TLH: Tensor, chunk: Chunk) -> Tensor:
        states: Tensor = part(inputs_embeds=hidden_TLH, use_cache=False, **chunk.about).last_hidden_state
        return states

    def _precision(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.autocast)


def base_decoder(model: Any) -> Any:  # noqa: ANN401 - transformers and peft are untyped
    """The decoder itself, with its adapters in place, where PEFT has wrapped it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _first_trained(decoder: Any) -> int:  # noqa: ANN401
    """Index of the first block that trains; the number of blocks if none does."""
    trains = [any(parameter.requires_grad for parameter in block.parameters()) for block in decoder.layers]
    return [*trains, True].index(True)


def _blocks(decoder: Any, first: int, last: int, with_norm: bool) -> Any:  # noqa: ANN401
    """A view of a decoder that runs some of its blocks on ``inputs_embeds``; it shares their weights."""
    part = copy.copy(decoder)
    part._modules = dict(decoder._modules)
    part.layers = decoder.layers[first:last]
    part.config = copy.copy(decoder.config)
    part.config.num_hidden_layers = last - first
    if getattr(decoder.config, "layer_types", None):
        part.config.layer_types = decoder.config.layer_types[first:last]
    if first and "emb_dropout" in part._modules:  # GPT-NeoX has drawn it already, below the first block
        part._modules["emb_dropout"] = nn.Identity()
    if not with_norm:
        part._modules["final_layer_norm" if "final_layer_norm" in part._modules else "norm"] = nn.Identity()
    return part
