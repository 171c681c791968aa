"""A fine-tuning method states three things about itself: what trains, what that costs, and at which learning rate.

Compute follows the usual accounting of 2 FLOP per parameter and token in the forward pass, 2 for the gradients of the
activations and 2 for those of the weights (Kaplan et al. 2020, section 2.1). N counts adapters but not embeddings, T of
these are trained, D tokens are processed (queries and positives, no padding):

    method                forward   backward    FLOP per token
    full                  2N        4N          6N
    freeze (a prefix)     2N        4T          2N + 4T
    bias, lora            2N        2N + 2T     4N + 2T

Source: the published code of "Repurposing Language Models into Embedding Models" (NeurIPS 2024). Not counted, there or
here: attention scores, the input embedding, the loss, second forwards; see `embudget.flops` for those.

The `Dense` modules behind a retriever's pooling, P parameters of which T train, act once a text: 2P FLOP forward and
2P + 2T backward. They lie above every block, so that gradients pass them whatever trains below. A budget does not count
them: for EmbeddingGemma they are 0.06 % of full training at texts of 75 tokens. `embudget.flops` does.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, final

from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

FALLBACK_PRETRAINING_RATE = 1e-3
"""The rate assumed where none is published; it is that of the smallest Pythia models."""


class Method(ABC):
    """One way to fine-tune a model. Frozen and hashable; ``parse_method`` reads back what ``str(method)`` writes."""

    name: ClassVar[str]
    """The method's kind: the word before the colon."""
    trains_embedding: ClassVar[bool] = False
    """Whether the input embedding trains as well. It counts neither in N nor in T, but takes memory."""

    trains_dense: ClassVar[Literal["all", "biases", "nothing"]] = "all"
    """What trains of the `Dense` modules behind the pooling, of models that have some."""

    def __str__(self) -> str:
        return self.name

    @property
    def number(self) -> float | None:
        """The number that tells methods of one kind apart: LoRA's rank, freezing's active fraction; else None."""
        return None

    def check(self, shape: ModelShape) -> None:  # noqa: B027 - most methods fit every model
        """Refuse a model that this method cannot train.

        Raises:
            MethodError: the model lacks what the method trains.
        """

    def added_params(self, shape: ModelShape) -> int:
        """Parameters that the method adds to the model (adapters)."""
        return 0

    @final
    def total_params(self, shape: ModelShape) -> int:
        """N of the compute formulas: parameters without embeddings, adapters included."""
        return shape.model_params + self.added_params(shape)

    @abstractmethod
    def trained_params(self, shape: ModelShape) -> int:
        """T of the compute formulas: trained parameters, embeddings not counted."""

    @final
    def forward_flops_per_token(self, shape: ModelShape) -> int:
        """2N."""
        return 2 * self.total_params(shape)

    def backward_flops_per_token(self, shape: ModelShape) -> int:
        """2N for the gradients of the activations, 2T for those of the weights."""
        return 2 * self.total_params(shape) + 2 * self.trained_params(shape)

    @final
    def trained_dense_params(self, shape: ModelShape) -> int:
        """Parameters of the `Dense` modules that train, which count neither in N nor in T."""
        if self.trains_dense == "all":
            return shape.dense_params
        return sum(layer.bias_params for layer in shape.dense) if self.trains_dense == "biases" else 0

    @final
    def forward_flops_per_text(self, shape: ModelShape) -> int:
        """2P of the `Dense` modules."""
        return 2 * shape.dense_params

    @final
    def backward_flops_per_text(self, shape: ModelShape) -> int:
        """2P for the gradients of what the `Dense` modules read, 2T for those of their weights."""
        return 2 * shape.dense_params + 2 * self.trained_dense_params(shape)

    @property
    @abstractmethod
    def flops_per_param(self) -> float:
        """Training FLOP per token and parameter, for a model of unknown shape; adapters and biases are not counted."""

    def backward_layers(self, shape: ModelShape) -> int:
        """Blocks that the backward pass goes through."""
        return shape.layers

    @final
    def flops_per_token(self, shape: ModelShape) -> int:
        """Algorithmic training FLOP per token: forward and backward."""
        return self.forward_flops_per_token(shape) + self.backward_flops_per_token(shape)

    def default_learning_rate(self, shape: ModelShape) -> float:
        """Peak learning rate of a run that names none: a tenth of the pre-training rate, as in the paper's code."""
        return pretraining_rate(shape) / 10

    @abstractmethod
    def apply(self, model: "PreTrainedModel", shape: ModelShape) -> "PreTrainedModel":
        """Make exactly this method's parameters trainable, in place or in a wrapper; return the model to train.

        Args:
            model: what AutoModel loads.
            shape: the model's own, whose description says where its blocks are.
        """

    @final
    def apply_to_embedder(self, model: "SentenceTransformer", shape: ModelShape) -> None:
        """Apply the method in place: `apply` to the transformer, `trains_dense` to the modules behind the pooling.

        Example:
            >>> model = load_embedder("embeddinggemma-300m:2", max_length=75)
            >>> Full().apply_to_embedder(model, find_shape("embeddinggemma-300m:2"))
        """
        model[0].model = self.apply(model[0].model, shape)
        for module in list(model)[1:]:
            for name, parameter in module.named_parameters():
                is_bias = name.endswith(".bias")
                parameter.requires_grad_(self.trains_dense == "all" or (self.trains_dense == "biases" and is_bias))

    def merge(self, model: "PreTrainedModel") -> "PreTrainedModel":
        """Return the trained model without anything the method added, computing the same function."""
        return model


def freeze_unused(model: "PreTrainedModel", shape: ModelShape) -> None:
    """Freeze the modules that an embedding does not pass, such as the pooler of an encoder that is pooled by the mean.

    They never get a gradient, and weight decay would shrink them.
    """
    modules = dict(model.named_modules())
    for name in shape.description.unused:
        if name in modules:
            modules[name].requires_grad_(False)


def pretraining_rate(shape: ModelShape) -> float:
    """Peak pre-training learning rate of the model, or the documented fallback."""
    return shape.pretraining_learning_rate or FALLBACK_PRETRAINING_RATE
