"""How does a model that is already an embedding model pool? Its fine-tuning goes on with that, or is refused.

A folder of sentence-transformers says in `modules.json` what follows the transformer. We train two ways of pooling,
followed by nothing but normalisation; of another model a part would be lost without a word.
"""

from pathlib import Path
from typing import Any, Literal, cast, get_args

from embudget.errors import ModelError, shortened
from embudget.reading import read_json
from embudget.suite.families import SHAPES
from embudget.suite.members import hub_file, is_hub_id, local_folder, split_depth

PooledBy = Literal["mean", "lasttoken", "cls", "weightedmean"]
"""How the tokens' states become one embedding, by the names of sentence-transformers."""

_LEGACY = {
    "pooling_mode_mean_tokens": "mean", "pooling_mode_lasttoken": "lasttoken", "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max", "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}  # fmt: skip


def pooling_for(name: str, asked: PooledBy | None) -> PooledBy:
    """The pooling of a run on a member: what is asked for, by default the model's own, else the mean.

    Raises:
        ModelError: the model's own pooling is another than the one asked for, or none that we train.
    """
    own = own_pooling(name)
    if own is not None and asked not in (None, own):
        raise ModelError(
            f"{shortened(name, 80)} pools by {own}, as its modules.json says, but pooling is {asked}: set pooling to "
            f"{own}"
        )
    return own or asked or "mean"


def prompts_of(name: str) -> tuple[str, str]:
    """What a member's own files put in front of a query, and of a document; nothing for a language model."""
    return "", ""


def own_pooling(name: str) -> PooledBy | None:
    """The pooling of a member that is a model of sentence-transformers; None for a language model.

    Raises:
        ModelError: it is none that we train, something other than normalisation follows it, or it cannot be read.
    """
    base, _ = split_depth(name)
    folder = local_folder(base)
    modules = _read(base, folder, "modules.json")
    if modules is None:
        return None
    try:
        kinds = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules]
    except (TypeError, KeyError):
        raise ModelError(f"{shortened(name, 80)}: its modules.json is damaged") from None
    if unknown := [kind for kind, _ in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
        raise ModelError(
            f"{shortened(name, 80)} has a module {unknown[0][:40]}, which would be lost: only models of Transformer, "
            "Pooling and Normalize are trained"
        )
    paths = [path for kind, path in kinds if kind == "Pooling"]
    config = _read(base, folder, f"{paths[0]}/config.json") if len(paths) == 1 else None
    if not isinstance(config, dict):
        raise ModelError(
            f"{shortened(name, 80)}: it must have one module Pooling with its config.json, got {len(paths)}"
        )
    mode = config.get("pooling_mode") or [how for flag, how in _LEGACY.items() if config.get(flag)] or ["mean"]
    modes = [mode] if isinstance(mode, str) else list(mode)
    if len(modes) != 1 or modes[0] not in get_args(PooledBy):
        raise ModelError(
            f"{shortened(name, 80)} pools by {' and '.join(map(str, modes))[:60]}: only "
            f"{' or '.join(get_args(PooledBy))} is trained"
        )
    return cast(PooledBy, modes[0])


def _read(base: str, folder: Path | None, file: str) -> Any:  # noqa: ANN401 - JSON that anybody may have written
    """The JSON of one of a model's files; None where it has none."""
    if folder is not None:
        path: Path | None = folder / file
    elif base not in SHAPES and is_hub_id(base):
        path = hub_file(base, file)
    else:
        return None
    return read_json(path, ModelError) if path is not None and path.exists() else None
