"""What does training begin from: a language model, or a model that is an embedding model already?

A *retriever* is a folder or repository of sentence-transformers. Its files say how it turns texts into embeddings, and
its fine-tuning goes on with all of it, because a model that was trained with one way answers badly with another:

    modules.json                        which modules follow the transformer: pooling, `Dense` ones, normalisation
    1_Pooling/config.json               how it pools, in the keys of releases before 6 or of later ones
    2_Dense/config.json                 sizes, bias and activation of a module behind the pooling
    config_sentence_transformers.json   prompts: what to put in front of a query, and of a document
    sentence_bert_config.json           its longest text in tokens, and whether texts are made lower case

A part that we do not train, such as a `LayerNorm` behind the pooling, would be lost without a word, so that a model
with one is refused. Nothing here needs torch or the network: whoever calls says how a file of the model is read.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, Literal, NoReturn, cast, get_args

from pydantic import Field, PositiveInt

from embudget.errors import ModelError, shortened
from embudget.frozen import Frozen
from embudget.suite.dense import Dense, inside, read_dense

PooledBy = Literal["mean", "lasttoken", "cls", "weightedmean"]
"""How the tokens' states become one embedding, by the names of sentence-transformers."""

SHORT: dict[str, PooledBy] = {"last": "lasttoken", "weighted": "weightedmean"}
"""The words for two of them that a user reads and may write; what is saved has the names of sentence-transformers."""

POOLING_CHOICES = "mean, last (lasttoken), cls or weighted (weightedmean)"
"""What may be chosen, for messages."""

StartKind = Literal["base", "retriever"]
"""A language model, or a model that is an embedding model already."""

MOST_PROMPT = 2000
"""Characters of a prompt that a run may have; those in use have at most 150."""

QUERY_PROMPTS = ("query", "search_query", "retrieval.query", "s2p_query")
DOCUMENT_PROMPTS = ("document", "passage", "corpus", "search_document", "retrieval.passage")
"""What models call the prompt of a query and of a document, the first that is there counts. `query`, `document`,
`passage` and `corpus` are those of sentence-transformers, the others of Nomic's, Jina's and Stella's models."""

_TRAINED = ("Transformer", "Pooling", "Dense", "Normalize")
_ORDER = r"Transformer Pooling( Dense)*( Normalize)?"
"""The modules that are trained, and their one order in published models."""

_LEGACY = {
    "pooling_mode_mean_tokens": "mean", "pooling_mode_lasttoken": "lasttoken", "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max", "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}  # fmt: skip
"""How releases before 6 of sentence-transformers wrote the pooling: a flag for each way."""


def pooling_word(pooling: PooledBy) -> str:
    """The word for a pooling in a message, which is that of the options."""
    return next((word for word, name in SHORT.items() if name == pooling), pooling)


class Start(Frozen):
    """How a model embeds a text before embudget trains it; the defaults are those of a language model.

    Example:
        >>> start_of("minilm-l6").pooling
        'mean'
    """

    kind: StartKind = Field(default="base", description="a language model, or a retriever")
    pooling: PooledBy = Field(default="mean", description="how the tokens' states become the embedding")
    dense: tuple[Dense, ...] = Field(default=(), description="its `Dense` modules behind the pooling, in their order")
    normalize: bool = Field(default=True, description="whether the embedding is scaled to unit length")
    query_prompt: str = Field(default="", max_length=MOST_PROMPT, description="put in front of each query")
    document_prompt: str = Field(default="", max_length=MOST_PROMPT, description="put in front of each document")
    max_length: PositiveInt | None = Field(default=None, description="tokens that its texts were cut to, where known")
    lower_case: bool = Field(default=False, description="whether texts are made lower case before the tokenizer")

    @property
    def end_token(self) -> bool:
        """Whether each text must end with an end token: the state of a text's own last word says little of the text."""
        return self.pooling == "lasttoken"


def read_start(name: str, read: Callable[[str], Any]) -> Start:
    """Read what a model says about itself.

    Args:
        name: the model's, for messages.
        read: gives the JSON of one of its files by path, None where it has none.

    Returns:
        A retriever where there is a `modules.json`, else a language model.

    Raises:
        ModelError: a part of it is none that we train, is code of its own, or cannot be read.
    """
    modules = read("modules.json")
    if modules is None:
        return Start()
    kinds = _modules(name, modules)
    dense = [path for kind, path in kinds if kind == "Dense"]
    query, document = _prompts(name, read("config_sentence_transformers.json"))
    limits = read("sentence_bert_config.json")
    limits = limits if isinstance(limits, dict) else {}
    return Start.read(
        {
            "kind": "retriever",
            "pooling": _pooling(name, read, [path for kind, path in kinds if kind == "Pooling"]),
            "dense": tuple(read_dense(name, path, read(inside(path, "config.json"))) for path in dense),
            "normalize": any(kind == "Normalize" for kind, _ in kinds),
            "query_prompt": query,
            "document_prompt": document,
            "max_length": limits.get("max_seq_length") or None,
            "lower_case": bool(limits.get("do_lower_case")),
        },
        shortened(name, 80),
        ModelError,
    )


def _modules(name: str, modules: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - JSON that anybody may have written
    """The kind and the folder of each module; only those that we train, in the one order that makes sense."""
    try:
        types = [(str(module["type"]), str(module["path"])) for module in modules]
    except (TypeError, KeyError):
        _refuse(name, "its modules.json is damaged")
    if foreign := [kind for kind, _ in types if not kind.startswith("sentence_transformers.")]:
        _refuse(
            name,
            f"its modules.json names the class {foreign[0][:60]}, which is not one of sentence-transformers; code of "
            "others is never run",
        )
    kinds = [(kind.rpartition(".")[2], path) for kind, path in types]
    if unknown := [kind for kind, _ in kinds if kind not in _TRAINED]:
        raise ModelError(
            f"{shortened(name, 80)} has a module {unknown[0][:40]}, which would be lost: only models of "
            f"{', '.join(_TRAINED[:-1])} and {_TRAINED[-1]} are trained"
        )
    if not re.fullmatch(_ORDER, " ".join(kind for kind, _ in kinds)):
        _refuse(name, "its modules must be one Transformer, one Pooling, perhaps Dense and Normalize, in this order")
    if outside := [path for _, path in kinds if ".." in PurePosixPath(path).parts or path.startswith("/")]:
        _refuse(name, f"its modules.json names {outside[0][:60]}, outside the folder")
    return kinds


def _pooling(name: str, read: Callable[[str], Any], folders: list[str]) -> str:
    config = read(f"{folders[0]}/config.json")
    if not isinstance(config, dict):
        _refuse(name, f"its module Pooling has no {folders[0][:40]}/config.json")
    if config.get("include_prompt") is False:
        _refuse(name, "it leaves prompts out of its pooling (include_prompt: false), which is not trained")
    mode = config.get("pooling_mode") or [how for flag, how in _LEGACY.items() if config.get(flag)] or ["mean"]
    modes = [mode] if isinstance(mode, str) else list(mode)
    if len(modes) != 1 or modes[0] not in get_args(PooledBy):
        raise ModelError(
            f"{shortened(name, 80)} pools by {' and '.join(map(str, modes))[:60]}: only {POOLING_CHOICES} is trained"
        )
    return cast(PooledBy, modes[0])


def _prompts(name: str, config: Any) -> tuple[str, str]:  # noqa: ANN401 - JSON that anybody may have written
    """The prompt of a query and of a document; of a model with one prompt for everything, that one for both."""
    config = config if isinstance(config, dict) else {}
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        _refuse(name, "the prompts in its config_sentence_transformers.json must be texts by name")
    common = prompts.get(config.get("default_prompt_name")) or ""
    query, document = (
        next((prompts[key] for key in keys if prompts.get(key) is not None), common)
        for keys in (QUERY_PROMPTS, DOCUMENT_PROMPTS)
    )
    return query, document


def _refuse(name: str, why: str) -> NoReturn:
    raise ModelError(f"{shortened(name, 80)}: {why}")
