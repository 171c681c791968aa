"""From a model of sentence-transformers to one graph from token ids to embeddings, for runtimes without Python.

    input_ids, attention_mask (batch, length) -> transformer -> pooling -> normalisation -> embeddings (batch, size)

The modules behind the transformer are sentence-transformers' own, so that pooling means the same in the graph. Both
sizes of the input are free when the graph runs.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.errors import ExportError, first_line
from embudget.suite.quiet import quietly

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from embudget.exports.exportable import Exportable

INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
SIZES = ({0: "batch", 1: "length"}, {0: "batch", 1: "length"})
"""What the free sizes of the inputs are called."""
_MODULES = ("Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dropout")


def check_graph(source: "Exportable") -> None:
    """Refuse a model that is more than a transformer, its pooling and layers behind it.

    Raises:
        ExportError: names the module or the setting that the graph would lose.
    """
    kinds = [type(module).__name__ for module in source.model]
    if unknown := [kind for kind in kinds if kind not in _MODULES] or kinds[: kinds[0] != "Transformer"]:
        raise ExportError(f"cannot write {source.name}: a module {unknown[0]} does not fit into one graph")
    prompted = any(source.model.prompts.values())
    if prompted and not all(getattr(module, "include_prompt", True) for module in source.model):
        raise ExportError(
            f"cannot write {source.name}: its pooling leaves out the prompt, whose length no input of the graph tells"
        )


def traced(source: "Exportable", *, fused: bool = True) -> "torch.export.ExportedProgram":
    """Trace the model with free sizes of the batch and of the length.

    Args:
        source: the model.
        fused: whether the runtime's fused attention gives numbers where a token sees nothing at all, as padding does
            that is farther from a text than a window of attention reaches; where it does not, such attention is spelled
            out.

    Raises:
        ExportError: torch.export cannot follow the model.
    """
    import torch

    tokenizer = source.model.tokenizer
    longest = source.model.max_seq_length
    texts = ["a queue of messages", "a"]
    example = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    arguments = tuple(example[name] for name in INPUTS)
    try:
        with torch.no_grad(), quiet_libraries(), nullcontext() if fused else _spelled_out(source.model):
            graph = _graph(source.model)
            return torch.export.export(graph, arguments, dynamic_shapes=(sizes, sizes), strict=False)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever torch meets in the model's code
        raise ExportError(f"cannot trace {source.name}: {first_line(error)[:200]}") from error


@contextmanager
def _spelled_out(model: "SentenceTransformer") -> Iterator[None]:
    """Trace attention as products and a softmax where its window is shorter than the longest text.

    A masked score is then the least finite number, so that the softmax of nothing is no NaN.
    """
    transformer = model[0].model
    config = transformer.config
    window = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None)
    before = config._attn_implementation
    if window and window < model.max_seq_length:
        transformer.set_attn_implementation("eager")
    try:
        yield
    finally:
        transformer.set_attn_implementation(before)


def _graph(model: "SentenceTransformer") -> "torch.nn.Module":
    import torch

    class Graph(torch.nn.Module):
        """The transformer called with its two inputs by name, and the modules behind it as they are."""

        def __init__(self) -> None:
            super().__init__()
            first, *others = model
            self.transformer, self.others = first.model, torch.nn.ModuleList(others)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            features: dict[str, Any] = {"token_embeddings": states, "attention_mask": attention_mask}
            for module in self.others:
                features = module(features)
            embeddings: torch.Tensor = features[OUTPUT]
            return embeddings if model.truncate_dim is None else embeddings[:, : model.truncate_dim]

    return Graph().eval()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what torch says of itself while it traces off the screen: all of it is about torch, not about the model."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")  # that torchvision is not installed
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), quietly():
            # torch 2.13 copies a class that it has deprecated itself, and says that both inputs have one batch size
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            warnings.filterwarnings("ignore", message=".*shares the same shape constraints.*", category=UserWarning)
            yield
    finally:
        logger.setLevel(before)


def save_tokenizer(model: "SentenceTransformer", folder: Path) -> None:
    """Write the tokenizer so that it cuts and pads texts by itself, in transformers and in tokenizers alike.

    ``AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True)`` and
    ``Tokenizer.from_file("tokenizer.json").encode_batch(texts)`` give the same ids.
    """
    import copy

    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.model_max_length = model.max_seq_length
    tokenizer.chat_template, tokenizer.padding_side = None, "right"
    tokenizer.save_pretrained(folder)
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(model.max_seq_length, direction=tokenizer.truncation_side)
    backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    backend.save(str(folder / "tokenizer.json"))
