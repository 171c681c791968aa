"""The adapters of a LoRA run, kept beside the merged weights that training writes, so that they can be exported.

They lie in the folder `adapter/` of a trained model as PEFT writes them. Merging cannot be undone exactly: the sum of
weights and adapters is rounded. So they are taken before it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embudget.records import RunConfig
from embudget.suite.members import find_shape, local_folder, split_depth
from embudget.suite.packages import AS_ON_THE_HUB

if TYPE_CHECKING:
    from torch import Tensor

ADAPTER = "adapter"
"""The folder of the adapters in a trained model's."""


class Adapter(NamedTuple):
    """Trained adapters, apart from the model that they belong to."""

    config: Any
    """PEFT's LoraConfig."""
    weights: "dict[str, Tensor]"


class Base(NamedTuple):
    """What adapters were trained on, as PEFT looks it up: a hub id and its commit, or a folder."""

    path: str
    revision: str | None


def adapter_of(model: Any) -> Adapter | None:  # noqa: ANN401 - a PeftModel, or one of transformers
    """Copy a model's adapters before they are merged; None where it has none."""
    if not hasattr(model, "merge_and_unload"):  # else PEFT would be loaded for every run, which takes seconds
        return None
    from peft import get_peft_model_state_dict

    weights = {name: weight.detach().cpu().clone() for name, weight in get_peft_model_state_dict(model).items()}
    return Adapter(model.peft_config["default"], weights)


def write_adapter(adapter: Adapter, run: RunConfig, folder: Path) -> None:
    """Write adapters as PEFT reads them, with the name of the model that they were trained on.

    Raises:
        OSError, SafetensorError: the folder is full.
    """
    import copy

    from safetensors.torch import save_file

    folder.mkdir()
    base = adapter_base(run.model)
    config = copy.copy(adapter.config)
    config.base_model_name_or_path, config.revision, config.inference_mode = base.path, base.revision, True
    config.save_pretrained(str(folder))
    save_file(
        {name: weight.contiguous() for name, weight in adapter.weights.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )


def adapter_base(name: str) -> Base:
    """Where the model is that adapters belong to.

    Only a whole checkpoint of the hub or a whole folder is named directly. For a cut member, or one whose package
    carries other weights than the hub has, the name is that of a folder to be made: the uncut checkpoint of the hub
    would be loaded without a word, and its embeddings would be others.
    """
    from embudget.suite.loading import find_checkpoint

    base, depth = split_depth(name)
    folder, layers = local_folder(base), find_shape(name).layers
    if depth is None or layers == find_shape(base).layers:
        if folder is not None:
            return Base(str(folder), None)
        files, hub_id = find_checkpoint(base), find_shape(base).hub_id
        if files.revision is not None:
            return Base(files.path, files.revision)
        if base in AS_ON_THE_HUB and hub_id is not None:
            return Base(hub_id, None)
    return Base(f"{Path(base).name}-{layers}-block{'s' if layers > 1 else ''}", None)


def is_to_be_made(base: str) -> bool:
    """Whether a base that adapters name is a folder to make by exporting the member, neither a path nor a hub id."""
    return "/" not in base
