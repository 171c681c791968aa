r"""An embedding model cut where its training begins: input embedding, frozen prefix, trained blocks, what follows.

    ids -> embedding -> frozen blocks  -> hidden states -> trained blocks -> final norm -> pooling, ... -> embedding
           \_________ `hidden` ________/                  \____________________ `embed` __________________/

What lies below the first trained block runs without a graph, and once for each text: its hidden states serve both
passes of gradient caching, and the backward pass ends there. Both parts are views of the model, which share its weights
and run its own code: the lower one has the first blocks and no final norm; in the upper one the first block takes the
stored hidden states in place of what the model hands it, so that it does not matter what the model does before its
blocks (adding positions, a norm, scaling). Where the input embedding trains, the rows that occur in
a batch are gathered beforehand (`embudget.training.rows`) and looked up in place of the whole table, so that neither
its gradient nor its update is ever dense. The modules after the transformer are the model's own, and compute in
float32: `Dense` ones act on one state a text, whose products take no time that bf16 would save.

Shapes: T texts, L tokens, H hidden size, E embedding size, R rows of the input embedding.
"""

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from embudget.suite.architecture import Architecture
from embudget.suite.architectures import ARCHITECTURES
from embudget.suite.cutting import per_block_fields
from embudget.training.chunks import Chunk

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Encoder:
    """The parts of a sentence-transformers model whose parameters are already frozen or free.

    Args:
        model: transformer with right padding, pooling, and what follows.
        autocast: whether the transformer runs under bf16 autocast.
        description: what the transformer is made of; the built-in one of its type by default.
    """

    def __init__(
        self, model: "SentenceTransformer", autocast: bool = False, description: Architecture | None = None
    ) -> None:
        self.model = model
        self.autocast = autocast
        decoder = base_decoder(model[0].model)
        described = description or ARCHITECTURES[decoder.config.model_type]
        self.blocks: list[nn.Module] = list(decoder.get_submodule(described.blocks))
        """The transformer's blocks, lowest first."""
        embedding = decoder.get_input_embeddings()
        self.table: nn.Parameter | None = embedding.weight if embedding.weight.requires_grad else None
        """The input embedding's weight (V, H) where it trains."""
        self.pad_row: int | None = embedding.padding_idx
        """The row that gets no gradient, as `torch.nn.Embedding` has it."""
        self.hidden_size: int = embedding.weight.shape[1]
        self._embedding = copy.copy(embedding)
        self._embedding.padding_idx = None  # rows have other numbers where they are gathered
        self.prefix_blocks = _first_trained(decoder, self.blocks, described)
        """Blocks below the first trained one."""
        self._prefix = _view(decoder, described, range(self.prefix_blocks))
        self._suffix = _view(decoder, described, range(self.prefix_blocks, len(self.blocks)))
        self._entry = self._suffix.get_submodule(described.blocks)[0] if self.prefix_blocks else None

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
            if self._entry is not None:
                self._entry.hidden_TLH = hidden_TLH
            states_TLH = self._run(self._suffix, hidden_TLH, chunk)
        pooling, *others = list(self.model)[1:]
        features: dict[str, Any] = pooling({"token_embeddings": states_TLH, **chunk.about})
        features["sentence_embedding"] = features["sentence_embedding"].float()
        for module in others:
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


class _Stored(nn.Module):
    """A block of a view that runs on the hidden states from below, whatever the model hands it.

    The wrapped block stays outside the tree of modules, so that its parameters keep their names.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self._block = (block,)
        self.hidden_TLH: Tensor | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - models ask a block for its type of attention
        return getattr(self.__dict__["_block"][0], name)

    def forward(self, _: Tensor, *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - what blocks take and give differs
        return self._block[0](self.hidden_TLH, *rest, **named)


def _first_trained(decoder: nn.Module, blocks: list[nn.Module], described: Architecture) -> int:
    """Index of the first block that trains; 0 where something below the blocks trains, the last if no block does."""
    above = {id(parameter) for block in blocks for parameter in block.parameters()}
    modules = dict(decoder.named_modules())
    norms = [modules[name] for name in described.final_norm if name in modules]
    above |= {id(parameter) for norm in norms for parameter in norm.parameters()}
    if any(parameter.requires_grad and id(parameter) not in above for parameter in decoder.parameters()):
        return 0
    trains = [any(parameter.requires_grad for parameter in block.parameters()) for block in blocks]
    return [*trains[:-1], True].index(True)


def _view(decoder: Any, described: Architecture, blocks: range) -> Any:  # noqa: ANN401
    """A view of a model that runs a range of its blocks on ``inputs_embeds``; it shares their weights.

    The final norm is there where the last block is. Where the first block is not, what comes before the blocks has no
    effect, and dropout there draws nothing, since the lower view has drawn it already.
    """
    whole = decoder.get_submodule(described.blocks)
    kept = whole[blocks.start : blocks.stop]
    part = _copied(decoder)
    owners = _replace(part, described.blocks, kept)
    for owner in (part, *owners):
        if "config" in vars(owner):
            owner.config = copy.copy(owner.config)
            setattr(owner.config, described.fields["layers"], len(blocks))
            for name, values in per_block_fields(vars(owner.config), len(whole), blocks).items():
                setattr(owner.config, name, values)
    if blocks.start:
        kept[0] = _Stored(kept[0])
        _remove_dropout(part, kept)
    if blocks.stop < len(whole):
        for name in described.final_norm:
            _replace(part, name, nn.Identity())
    for name in described.unused:
        _replace(part, name, None)
    return part


def _copied(module: nn.Module) -> nn.Module:
    """A copy of a module whose children may be exchanged; the children are the same."""
    part = copy.copy(module)
    part._modules = dict(module._modules)
    return part


def _replace(part: nn.Module, path: str, module: nn.Module | None) -> list[nn.Module]:
    """Exchange a module within a view, where there is one; return the copies of those around it."""
    *around, name = path.split(".")
    owners, owner = [], part
    for step in around:
        inner = _copied(owner.get_submodule(step))
        owner._modules[step] = owner = inner
        owners.append(owner)
    if owner._modules.get(name) is not None:
        owner._modules[name] = module
    return owners


def _remove_dropout(part: nn.Module, blocks: nn.Module) -> None:
    """Leave out the dropout of a view that is not in its blocks."""
    for name, child in part._modules.items():
        if isinstance(child, nn.Dropout):
            part._modules[name] = nn.Identity()
        elif child is not None and child is not blocks and any(isinstance(one, nn.Dropout) for one in child.modules()):
            part._modules[name] = own = _copied(child)
            _remove_dropout(own, blocks)
