"""What is trained on a machine that reaches nothing: models of random weights, and pairs of what is installed.

The models have the sizes of published ones, stored in half precision as Pythia's are, and the tokenizer of the suite
`micro`, of 4,096 tokens. So texts are longer in tokens than Pythia's would be, and fewer rows of the embedding occur.
The pairs are docstrings of those packages of the source `docstrings` that are here.
"""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.device import device
from embudget.pairs import Pairs, build_from, load_pairs
from embudget.pairs.sources.docstrings import PACKAGES, Docstrings
from embudget.suite import find_shape
from embudget.suite.loading import load_tokenizer

TOKENIZER = "micro-1m"
TOYS: dict[str, dict[str, int]] = {
    "toy-small": {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
    "toy-large": {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4},
}
"""GPT-NeoX that a CPU trains in milliseconds."""


def random_model(name: str, folder: Path) -> str:
    """Make a GPT-NeoX of a published size, such as pythia-160m, or one of `TOYS`, with random weights.

    Returns:
        Its folder below ``folder``, as the name of a member; one that is there already is taken as it is.
    """
    place = folder / f"random-{name}"
    if (place / "tokenizer.json").exists():
        return str(place)
    from transformers import AutoModel, GPTNeoXConfig

    tokenizer = load_tokenizer(TOKENIZER)
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    torch.manual_seed(0)
    with torch.device(device()):
        model = AutoModel.from_config(GPTNeoXConfig(**_sizes(name, len(tokenizer)), **special))
    model.half().save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


def _sizes(name: str, tokens: int) -> dict[str, Any]:
    if name in TOYS:
        return {"vocab_size": tokens, "max_position_embeddings": 128} | TOYS[name]
    shape = find_shape(name)
    assert shape.architecture == "gpt_neox", name
    return {
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": shape.max_length,
    }


def installed_pairs(folder: Path, packages: tuple[str, ...] = PACKAGES) -> Pairs:
    """Build pairs of the docstrings of those of ``packages`` that are installed; those that are built are loaded."""
    if folder.exists():
        return load_pairs(folder)
    source = Docstrings()
    source.packages = tuple(name for name in packages if _installed(name))
    return build_from([source], folder, on_remark=lambda line: None)


def _installed(name: str) -> bool:
    with suppress(PackageNotFoundError):
        return distribution(name).files is not None
    return False
