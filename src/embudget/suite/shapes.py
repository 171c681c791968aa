"""How large is a model? Its sizes, computed from a description and a configuration, without any weights.

N, the ``model_params`` of a shape, counts every parameter but the embeddings: the blocks and the norm behind them. That
is the convention of the scaling-law literature (Kaplan et al. 2020, section 2.1) and of the code of "Repurposing
Language Models into Embedding Models", which skips each parameter whose name contains "emb". What comes before the
blocks beside the input embedding (positions, token types, their norm) counts as embeddings too. The output head is not
counted, since an embedding model has none.

With h the hidden size, i the intermediate size, a heads of size d and g key-value heads, one block holds, for example,

    GPT-NeoX      h(3h) + h h + h i + i h      weights, as many biases as outputs, and two layer norms (2h each)
    Llama         h(a d) + 2 h(g d) + (a d)h + 3 h i      weights, and two norms (h each)

and every other architecture what its description says (`embudget.suite.architecture`).

The `Dense` modules behind the pooling of some retrievers are not in N either, though published counts of "non-embedding
parameters" have them: N says what a token costs, and they act once a text. They are counted by themselves
(``dense_params``), in the memory of a run and in the FLOP that it executes.
"""

from typing import Any, Self, get_args

from pydantic import Field, ValidationError, model_validator

from embudget.errors import ModelError, shortened
from embudget.frozen import Frozen, first_problem
from embudget.limits import Layers, ModelSize
from embudget.suite.architecture import Architecture, Setting, Size, parse_layer
from embudget.suite.architectures import ARCHITECTURES, PREPARE
from embudget.suite.attention import own_attention
from embudget.suite.dense import Dense
from embudget.suite.layers import Linear, Norm, Weights, described_weights
from embudget.suite.starts import StartKind
from embudget.suite.unsupported import why_unsupported


class ModelShape(Frozen):
    """The sizes of one transformer, and what was published about its pre-training."""

    name: str = Field(description="as a user writes it: smollm2-135m, smollm2-135m:8 or a folder")
    family: str = Field(description="the checkpoints it was pre-trained with, e.g. pythia")
    start: StartKind = Field(
        default="base", description="a language model, or a retriever: a model that is an embedding model already"
    )
    architecture: str = Field(description="the value of `model_type` in its configuration")
    layers: Layers = Field(description="blocks")
    hidden: ModelSize = Field(description="hidden size, that of the tokens' states")
    heads: ModelSize = Field(description="query heads")
    kv_heads: ModelSize = Field(description="key and value heads; equal to heads without grouped-query attention")
    head_dim: ModelSize = Field(description="size of one head")
    intermediate: ModelSize = Field(description="inner size of the feed-forward network")
    vocab: ModelSize = Field(description="rows of the input embedding")
    max_length: ModelSize = Field(description="tokens, the longest sequence the positions allow")
    pretraining_learning_rate: float | None = Field(default=None, gt=0, description="peak rate, where published")
    hub_id: str | None = Field(default=None, description="its name on the hub, where it has one")
    revision: str | None = Field(default=None, description="pinned revision on the hub")
    dense: tuple[Dense, ...] = Field(
        default=(), exclude=True, description="the `Dense` modules behind the pooling of a retriever that has some"
    )
    description: Architecture = Field(
        exclude=True, repr=False, description="what the architecture is made of; the built-in one where none is given"
    )
    settings: tuple[tuple[str, Setting], ...] = Field(
        default=(), exclude=True, repr=False,
        description="fields of its configuration that layers or the direction of attention depend on, where they are "
        "not the description's defaults",
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _find_description(cls, data: Any) -> Any:  # noqa: ANN401
        if not isinstance(data, dict) or data.get("description") is not None:
            return data
        name = data.get("architecture")
        if name not in ARCHITECTURES:
            raise ValueError(f"architecture: must be one of {', '.join(ARCHITECTURES)}, got {name!r}")
        return {**data, "description": ARCHITECTURES[name]}

    @model_validator(mode="after")
    def _sizes_are_known(self) -> Self:
        self._weights  # noqa: B018 - raises where a size that the description names is not known
        return self

    @property
    def lineage(self) -> str:
        """Family and kind of start, whose members share laws: smollm2, or `minilm retriever`."""
        return self.family if self.start == "base" else f"{self.family} {self.start}"

    @property
    def _weights(self) -> Weights:
        sizes = tuple((size, getattr(self, size)) for size in get_args(Size) if size != "layers")
        return described_weights(self.description, sizes, self.settings)

    @property
    def causal(self) -> bool:
        """Whether a token sees only those before it, in the model as its configuration has it."""
        return own_attention(dict(self.settings), self.description) == "causal"

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one block."""
        return self._weights.linears

    @property
    def norms(self) -> tuple[Norm, ...]:
        """The norms of one block."""
        return self._weights.norms

    @property
    def final_norm(self) -> tuple[Norm, ...]:
        """The norm after the last block; empty where blocks end in their own."""
        return self._weights.final_norm

    @property
    def stem(self) -> tuple[Norm, ...]:
        """What comes before the blocks beside the input embedding: positions, token types, their norm."""
        return self._weights.stem

    @property
    def has_biases(self) -> bool:
        """Whether a block has bias terms, in its linear layers or its norms, so that bias-only tuning is possible."""
        return self.block_bias_params > 0

    @property
    def block_norm_params(self) -> int:
        """Parameters of the norms in one block, their biases included."""
        return sum(norm.params for norm in self.norms)

    @property
    def block_bias_params(self) -> int:
        """Bias terms of one block, those of the norms included; 0 where there are none."""
        return sum(linear.bias_params for linear in self.linears) + sum(norm.bias_params for norm in self.norms)

    @property
    def block_params(self) -> int:
        """All parameters of one block; the first may lack `first_block_lacks` of them."""
        return sum(linear.params for linear in self.linears) + self.block_norm_params

    @property
    def first_block_lacks(self) -> int:
        """Parameters that every block has but the first."""
        return sum(norm.params for norm in self.norms if norm.name in self.description.first_lacks)

    @property
    def final_norm_params(self) -> int:
        """Parameters of the norm after the last block; 0 where there is none."""
        return sum(norm.params for norm in self.final_norm)

    @property
    def final_norm_bias_params(self) -> int:
        """Bias terms of the norm after the last block."""
        return sum(norm.bias_params for norm in self.final_norm)

    @property
    def model_params(self) -> int:
        """N, the number of all parameters but the embeddings."""
        return self.params_of_top(self.layers)

    def params_of_top(self, blocks: int) -> int:
        """Parameters of the last ``blocks`` blocks and of the norm behind them."""
        lacks = self.first_block_lacks if blocks == self.layers else 0
        return blocks * self.block_params - lacks + self.final_norm_params

    @property
    def embedding_params(self) -> int:
        """Parameters before the first block: the input embedding, and where they exist positions, types, their norm."""
        return self.vocab * self.hidden + sum(weight.params for weight in self.stem)

    @property
    def dense_params(self) -> int:
        """Parameters of the `Dense` modules, which act once a text; neither in N nor among the embeddings."""
        return sum(layer.params for layer in self.dense)

    @property
    def embedding_size(self) -> int:
        """Numbers of an embedding: the outputs of the last `Dense` module, or the hidden size."""
        return self.dense[-1].outputs if self.dense else self.hidden

    def truncated(self, depth: int) -> "ModelShape":
        """Cut the model to its first ``depth`` blocks; the embedding, the final norm and `Dense` modules stay.

        Raises:
            ModelError: the depth is not in 1..layers.
        """
        if not 1 <= depth <= self.layers:
            raise ModelError(f"depth of {self.name} must be between 1 and {self.layers}, got {depth}")
        return self.model_copy(update={"name": f"{self.name}:{depth}", "layers": depth})


def shape_of_config(config: dict[str, Any], name: str, description: Architecture | None = None) -> ModelShape:
    """Read a shape from the content of a Hugging Face ``config.json``, which anybody may have written.

    Args:
        config: the content.
        name: what the shape is called.
        description: what the architecture is made of; the built-in one by default.

    Raises:
        ModelError: no description fits its model_type, or a needed field is missing or out of range.
    """
    described = description or known_description(config, name)
    try:
        given = config if description is not None else PREPARE.get(str(config["model_type"]), dict)(config)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None
    known = {**described.defaults, **{field: value for field, value in given.items() if value is not None}}
    sizes: dict[str, Any] = {size: known.get(field) for size, field in described.fields.items()}
    sizes["kv_heads"] = sizes["kv_heads"] or sizes["heads"]
    sizes["head_dim"] = sizes["head_dim"] or _head_dim(sizes["hidden"], sizes["heads"])
    for size, field in described.fields.items():
        if sizes[size] is None:
            raise ModelError(f"{name}: its configuration lacks {field}")
    settings = tuple((field, known[field]) for field in described.settings if field in known)
    for field, value in settings:
        if not isinstance(value, bool | int):
            raise ModelError(
                f"{name}: its description needs {field}, true or false or a whole number, got "
                f"{shortened(repr(value), 60)}"
            )
    try:
        for size, field in described.fields.items():
            if isinstance(sizes[size], str) and sizes[size] == described.defaults.get(field):
                sizes[size] = _evaluated(sizes[size], sizes)
        return ModelShape(
            name=name,
            family=described.model_type,
            architecture=described.model_type,
            description=described,
            settings=settings,
            **sizes,
        )
    except ValidationError as error:
        raise ModelError(f"{name}: its configuration is not usable: {first_problem(error, ModelShape)}") from None


def known_description(config: dict[str, Any], name: str) -> Architecture:
    """The built-in description of a configuration.

    Raises:
        ModelError: there is none.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise ModelError(f"{name}: {why_unsupported(config)}")
    return ARCHITECTURES[model_type]


def _evaluated(text: str, sizes: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever a file held; the shape validates it
    """A default that is written as a size, such as `4 hidden`; the text itself where it is none."""
    try:
        return parse_layer(text).evaluate(sizes)[0]
    except (ValueError, KeyError, TypeError):
        return text


def _head_dim(hidden: Any, heads: Any) -> int:  # noqa: ANN401 - whatever a file held; the shape validates it
    usable = isinstance(hidden, int) and isinstance(heads, int) and heads > 0
    return hidden // heads if usable else 0
