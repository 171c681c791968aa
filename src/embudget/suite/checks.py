"""Can a member be trained at all? Asked before anything is, so that one bad model costs a sweep no FLOP.

What can be wrong with a folder that anybody may have made: weights that are quantised, missing, of other sizes, not
finite or only a pickle; files that are cut short; a configuration that lies about its weights; a tokenizer that is
missing or larger than the embedding; a pooling that we do not train. Each is one line.

Members that come with embudget, or with a package that it names, are not checked again.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from embudget.errors import ModelError, shortened
from embudget.reading import read_json
from embudget.suite.dense_weights import load_dense
from embudget.suite.hub import hub_file
from embudget.suite.identity import model_identity
from embudget.suite.loading import cut_config, find_checkpoint, load_tokenizer
from embudget.suite.members import find_shape, local_folder, split_depth, start_of
from embudget.suite.quiet import loading
from embudget.suite.shapes import ModelShape

INDEX = "model.safetensors.index.json"
"""Says in which file each weight is, where there are several."""

_FLOATS = ("F64", "F32", "F16", "BF16")


def check_member(name: str) -> None:
    """Refuse a member that cannot be trained.

    A folder is checked whole: every weight of the blocks that are kept is read, at about a second for each GB, once in
    a process. Of a checkpoint on the hub only what is small is fetched.

    Raises:
        ModelError: one line that says what is wrong with it.
    """
    shape = find_shape(name)
    base, _ = split_depth(name)
    folder = local_folder(base)
    if folder is not None:
        _check_folder(name, str(folder), shape, model_identity(folder))
    elif shape.hub_id == base:
        _check_quantised(name, hub_file(base, "config.json"))
        start_of(name)
        load_tokenizer(name)


@lru_cache(maxsize=256)
def _check_folder(name: str, folder: str, shape: ModelShape, identity: str) -> None:
    """Check a folder; ``identity`` is not read: with it, the cache asks again when a file has changed."""
    path = Path(folder)
    _check_quantised(name, path / "config.json")
    start_of(name)
    if not any(path.glob("*.safetensors")):
        pickles = " (a pickle may run code, and is never read)" if any(path.glob("*.bin")) else ""
        raise ModelError(f"cannot load {name}: it has no model.safetensors{pickles}")
    _check_shards(name, path)
    if not any((path / file).is_file() for file in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise ModelError(f"cannot load {name}: it has no tokenizer.json")
    load_tokenizer(name)
    with loading(name):
        files = find_checkpoint(name).path  # a multimodal model is cut down to its language model
        cut_config(name, files, None, shape)
        _check_tensors(name, Path(files), shape)
        load_dense(name, shape)


def _check_shards(name: str, folder: Path) -> None:
    """Refuse weights in several files of which one is missing."""
    index: Any = read_json(folder / INDEX, ModelError) if (folder / INDEX).is_file() else {}
    places = index.get("weight_map") if isinstance(index, dict) else None
    for file in sorted(set(map(str, places.values()))) if isinstance(places, dict) else ():
        if not (folder / file).is_file():
            raise ModelError(f"cannot load {name}: {INDEX} names {shortened(file, 60)}, which is not there")


def _check_quantised(name: str, config: Path | None) -> None:
    content: Any = read_json(config, ModelError) if config is not None else {}
    if how := content.get("quantization_config"):
        kind = how.get("quant_method", "an unknown method") if isinstance(how, dict) else how
        raise ModelError(
            f"cannot train {name}: its weights are quantised ({str(kind)[:40]}): take the model in full precision"
        )


def _check_tensors(name: str, folder: Path, shape: ModelShape) -> None:
    """Refuse weights of the kept blocks that are no finite floats."""
    import torch
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - it is no dict
                if not _is_kept(key, shape):
                    continue
                if (dtype := tensors.get_slice(key).get_dtype()) not in _FLOATS:
                    raise ModelError(
                        f"cannot train {name}: {key[:60]} holds numbers of type {dtype}, not {', '.join(_FLOATS)}"
                    )
                # the sum is not finite if a number is not, and is 10 times as fast as asking each; but it may overflow
                tensor = tensors.get_tensor(key)
                if not torch.isfinite(tensor.sum(dtype=torch.float32)) and not torch.isfinite(tensor).all():
                    raise ModelError(f"cannot train {name}: {key[:60]} holds NaN or infinity in {file.name}")


def _is_kept(key: str, shape: ModelShape) -> bool:
    """Whether a tensor is a weight of the embedding model: not of a block that is cut off, the head or a mask."""
    block = re.search(rf"(?:^|\.){re.escape(shape.description.blocks)}\.(\d+)\.", key)
    if block is not None and int(block[1]) >= shape.layers:
        return False
    return (
        key.endswith((".weight", ".bias"))
        and not key.startswith(("lm_head.", "embed_out."))
        and not key.endswith(("attention.bias", "attn.bias"))  # the mask in old checkpoints of GPT-NeoX and GPT-2
    )
