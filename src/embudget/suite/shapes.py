"""How large is a model? Sizes of decoder-only transformers, computed from a configuration, without any weights.

N, the ``model_params`` of a shape, counts every parameter but the embeddings. That is the convention of the scaling-law
literature (Kaplan et al. 2020, section 2.1) and of the code of "Repurposing Language Models into Embedding Models",
which skips each parameter whose name contains "emb". The output head is not counted either, since an embedding model
has none.

With h the hidden size, i the intermediate size, a heads of size d and g key-value heads, one block holds

    GPT-NeoX      h(3h) + h h + h i + i h      weights, as many biases as outputs, and two layer norms (2h each)
    Llama-like    h(a d) + 2 h(g d) + (a d)h + 3 h i      weights, and the norms of the architecture (below)
"""

from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, PositiveInt, ValidationError

from embudget.errors import ModelError
from embudget.frozen import Frozen, first_problem

Architecture = Literal["gpt_neox", "llama", "qwen3", "gemma3_text", "olmo2"]
"""The value of ``model_type`` in a Hugging Face configuration."""


Start = Literal["base", "retriever"]
"""What training begins from: a language model, or a model that is an embedding model already."""


class Linear(NamedTuple):
    """A linear layer of a block: its module's name in transformers, and its sizes."""

    name: str
    inputs: int
    outputs: int


class ModelShape(Frozen):
    """The sizes of one decoder-only transformer, and what was published about its pre-training."""

    name: str = Field(description="as a user writes it: smollm2-135m, smollm2-135m:8 or a folder")
    family: str = Field(description="the checkpoints it was pre-trained with, e.g. pythia")
    start: Start = Field(
        default="base", description="a language model, or a retriever: a model that is an embedding model already"
    )
    architecture: Architecture = Field(description="the value of `model_type` in its configuration")
    layers: PositiveInt = Field(description="blocks")
    hidden: PositiveInt = Field(description="hidden size, that of the embeddings")
    heads: PositiveInt = Field(description="query heads")
    kv_heads: PositiveInt = Field(description="key and value heads; equal to heads without grouped-query attention")
    head_dim: PositiveInt = Field(description="size of one head")
    intermediate: PositiveInt = Field(description="inner size of the feed-forward network")
    vocab: PositiveInt = Field(description="rows of the input embedding")
    max_length: PositiveInt = Field(description="tokens, the longest sequence the positions allow")
    pretraining_learning_rate: float | None = Field(default=None, gt=0, description="peak rate, where published")
    hub_id: str | None = Field(default=None, description="its name on the hub, where it has one")
    revision: str | None = Field(default=None, description="pinned revision on the hub")

    @property
    def lineage(self) -> str:
        """Family and kind of start, whose members share laws: smollm2, or `minilm retriever`."""
        return self.family if self.start == "base" else f"{self.family} {self.start}"

    @property
    def has_biases(self) -> bool:
        """Whether the linear layers have bias terms, so that bias-only tuning is possible."""
        return self.architecture == "gpt_neox"

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one block."""
        h, i, q, kv = self.hidden, self.intermediate, self.heads * self.head_dim, self.kv_heads * self.head_dim
        if self.architecture == "gpt_neox":
            return (
                Linear("query_key_value", h, 3 * q), Linear("dense", q, h),
                Linear("dense_h_to_4h", h, i), Linear("dense_4h_to_h", i, h),
            )  # fmt: skip
        return (
            Linear("q_proj", h, q), Linear("k_proj", h, kv), Linear("v_proj", h, kv), Linear("o_proj", q, h),
            Linear("gate_proj", h, i), Linear("up_proj", h, i), Linear("down_proj", i, h),
        )  # fmt: skip

    @property
    def block_norm_params(self) -> int:
        """Parameters of the norms in one block."""
        h, q, kv = self.hidden, self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "gpt_neox": 4 * h,  # two layer norms, each with weight and bias
            "llama": 2 * h,
            "qwen3": 2 * h + 2 * self.head_dim,  # a norm over each head of queries and keys
            "gemma3_text": 4 * h + 2 * self.head_dim,  # norms before and after attention and feed-forward
            "olmo2": 2 * h + q + kv,  # norms over all queries and all keys
        }[self.architecture]

    @property
    def block_bias_params(self) -> int:
        """Bias terms of one block, those of the layer norms included; 0 where there are none."""
        return sum(linear.outputs for linear in self.linears) + 2 * self.hidden if self.has_biases else 0

    @property
    def block_params(self) -> int:
        """All parameters of one block."""
        weights = sum(linear.inputs * linear.outputs for linear in self.linears)
        biases = sum(linear.outputs for linear in self.linears) if self.has_biases else 0
        return weights + biases + self.block_norm_params

    @property
    def final_norm_params(self) -> int:
        """Parameters of the norm after the last block."""
        return 2 * self.hidden if self.has_biases else self.hidden

    @property
    def model_params(self) -> int:
        """N, the number of all parameters but the embeddings."""
        return self.layers * self.block_params + self.final_norm_params

    @property
    def embedding_params(self) -> int:
        """Parameters of the input embedding."""
        return self.vocab * self.hidden

    def truncated(self, depth: int) -> "ModelShape":
        """Cut the model to its first ``depth`` blocks; the embedding and the final norm stay.

        Raises:
            ModelError: the depth is not in 1..layers.
        """
        if not 1 <= depth <= self.layers:
            raise ModelError(f"depth of {self.name} must be between 1 and {self.layers}, got {depth}")
        return self.model_copy(update={"name": f"{self.name}:{depth}", "layers": depth})


def shape_of_config(config: dict[str, Any], name: str) -> ModelShape:
    """Read a shape from the content of a Hugging Face ``config.json``, which anybody may have written.

    Raises:
        ModelError: the architecture is not a supported decoder, or a needed field is missing.
    """
    architecture = config.get("model_type")
    if architecture not in get_args(Architecture):
        supported = ", ".join(get_args(Architecture))
        raise ModelError(f"{name}: model_type must be one of {supported}, got {architecture!r}")
    if architecture != "gpt_neox" and (config.get("attention_bias") or config.get("mlp_bias")):
        raise ModelError(f"{name}: {architecture} with attention_bias or mlp_bias is not supported")
    if architecture == "gpt_neox" and config.get("attention_bias") is False:
        raise ModelError(f"{name}: gpt_neox with attention_bias: false is not supported")
    try:
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        return ModelShape(
            name=name,
            family=architecture,
            architecture=architecture,
            layers=config["num_hidden_layers"],
            hidden=hidden,
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or _head_dim(hidden, heads),
            intermediate=config["intermediate_size"],
            vocab=config["vocab_size"],
            max_length=config["max_position_embeddings"],
        )
    except KeyError as error:
        raise ModelError(f"{name}: its configuration lacks {error.args[0]}") from None
    except ValidationError as error:
        raise ModelError(f"{name}: its configuration is not usable: {first_problem(error)}") from None


def _head_dim(hidden: Any, heads: Any) -> int:  # noqa: ANN401 - whatever a file held; the shape validates it
    usable = isinstance(hidden, int) and isinstance(heads, int) and heads > 0
    return hidden // heads if usable else 0
