"""Which models does a study name? Its members looked up, each known by its weights, and where their folders lie."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from embudget.errors import ModelError
from embudget.records import Pooling
from embudget.suite import ModelShape, find_shape
from embudget.suite.loading import weights_of
from embudget.suite.members import is_hub_id, local_folder, name_beside, pooling_for, split_depth, start_of
from embudget.suite.suites import Entry, suite_beside

OF_MODELS = ("suite", "members")
"""The fields of a study that name models, or a folder of them."""


class Member(NamedTuple):
    """A member of a grid as its runs name it."""

    shape: ModelShape
    pooling: Pooling
    weights: str | None

    def prompts(self, query: str | None, document: str | None) -> tuple[str, str]:
        """The prompts of a run on it: what is asked for, by default its own."""
        if query is not None and document is not None:
            return query, document
        own = start_of(self.shape.name)
        return own.query_prompt if query is None else query, own.document_prompt if document is None else document

    @property
    def key(self) -> tuple[str | None, str]:
        """What makes it the same model as another: a folder is known by its weights and depth, others by their name."""
        if not (self.weights or "").startswith("sha256:"):
            return None, self.shape.name
        depth = self.shape.name.rpartition(":")[2]
        return self.weights, "" if "/" in depth else depth  # without a depth it is a part of the path


def members_of(entries: Iterable[Entry], pooling: Pooling | None) -> tuple[list[Member], dict[str, str]]:
    """Look members up: by rising size, and why others, in folders or on the hub, cannot be used.

    Any other name that is no member's is a slip in the study, which does not go on without it.

    Args:
        entries: as the study has them.
        pooling: that of the study; None means each model's own.

    Raises:
        ModelError: a name is no member's, or two names are of one.
    """
    found: dict[tuple[str | None, str], tuple[str, Member]] = {}
    refused: dict[str, str] = {}
    for name, where in entries:
        member = None
        try:
            member = Member(find_shape(name), pooling_for(name, pooling), None)
            member = member._replace(weights=weights_of(name))
        except ModelError as error:
            if member is None and not _is_elsewhere(name):
                raise ModelError(f"{where}{error}") from None
            refused[name] = f"{where}{error}"
            continue
        if member.key in found:
            raise ModelError(f"{where}members {found[member.key][0]} and {name} are the same model: name it once")
        found[member.key] = name, member
    return sorted((member for _, member in found.values()), key=lambda member: member.shape.model_params), refused


def _is_elsewhere(name: str) -> bool:
    """Whether a member is somebody's own: in a folder that is there, or perhaps on the hub."""
    try:
        base, _ = split_depth(name)
    except ModelError:
        return False
    return local_folder(base) is not None or is_hub_id(base)


def members_by_shape(entries: Iterable[Entry], pooling: Pooling | None) -> list[Member]:
    """Look members up by their shapes alone, by rising size: without their weights, which may not be on this machine.

    Raises:
        ModelError: a name is no member's.
    """
    members = []
    for name, where in entries:
        try:
            members.append(Member(find_shape(name), pooling or "mean", None))
        except ModelError as error:
            raise ModelError(f"{where}{error}") from None
    return sorted(members, key=lambda member: member.shape.model_params)


def beside(here: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a study's fields that name models, with folders relative to ``here``, where the study's file lies."""
    named = {name: fields[name] for name in OF_MODELS if fields.get(name)}
    return {
        name: suite_beside(here, value) if isinstance(value, str) else tuple(name_beside(here, one) for one in value)
        for name, value in named.items()
    }
