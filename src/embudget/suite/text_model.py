"""The language model inside a multimodal one, as a checkpoint of its own.

transformers loads a Gemma 3 of 4B and more with the part that reads images. Its language model is an ordinary decoder,
whose weights are written once into the cache folder under their own names, with its configuration and the tokenizer.
Nothing is computed: the tensors are copied as they are.
"""

import json
import re
import shutil
from pathlib import Path

from embudget.cache import cache_folder
from embudget.errors import ModelError
from embudget.files import whole_folder
from embudget.reading import read_json
from embudget.suite.identity import TOKENIZER_FILES

WRAPPERS = {"gemma3": "gemma3_text"}
"""The `model_type` of a multimodal model, and that of the language model inside."""

_INSIDE = re.compile(r"^(?:model\.)?language_model\.(?:model\.)?(?!lm_head)")
"""What stands in front of the language model's weights, in the order in which releases of transformers write it."""


def is_multimodal(config: Path) -> bool:
    """Whether a config.json is that of a model with a language model inside."""
    content = read_json(config, ModelError) if config.is_file() else None
    return isinstance(content, dict) and content.get("model_type") in WRAPPERS


def language_model(folder: Path, identity: str) -> Path:
    """The folder of the language model inside the model in a folder; the folder itself where there is none inside.

    Args:
        folder: holds config.json, weights in safetensors and the tokenizer.
        identity: tells its weights from all others; the copy is kept under it.

    Raises:
        ModelError: the cache cannot be written, or the weights of a language model are not there.
    """
    if not is_multimodal(folder / "config.json"):
        return folder
    config = read_json(folder / "config.json", ModelError)
    copy = cache_folder() / f"text-{re.sub(r'[^0-9A-Za-z]+', '-', identity)}"
    if not (copy / "config.json").exists():
        text = {**config["text_config"], "model_type": WRAPPERS[config["model_type"]]}
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            with whole_folder(copy) as part:
                _copy_weights(folder, part)
                for name in TOKENIZER_FILES:
                    if (folder / name).is_file():
                        shutil.copy(folder / name, part)
                (part / "config.json").write_text(json.dumps(text, indent=2), encoding="utf-8")
        except OSError as error:
            raise ModelError(f"cannot write the cache folder {copy.parent}: {error.strerror}") from None
    return copy


def _copy_weights(folder: Path, part: Path) -> None:
    """Copy the language model's tensors file by file, and write which file holds which."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    places: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            names = {key: _INSIDE.sub("", key) for key in tensors.keys() if _INSIDE.match(key)}  # noqa: SIM118
            if names:
                kept = {name: tensors.get_tensor(key) for key, name in names.items()}
                save_file(kept, part / file.name, metadata={"format": "pt"})
                places |= dict.fromkeys(kept, file.name)
    if not places:
        raise ModelError(f"{folder}: it has no weights of a language model")
    if set(places.values()) != {"model.safetensors"}:
        index = {"metadata": {}, "weight_map": places}
        (part / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
