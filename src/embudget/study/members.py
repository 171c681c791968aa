"""Which models does a study name? Its members looked up, each known by its weights, and where their folders lie."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from embudget.errors import ModelError
from embudget.records import Pooling
from embudget.suite import ModelShape, find_shape
from embudget.suite.loading import weights_of
from embudget.suite.members import local_folder, name_beside, pooling_for, split_depth
from embudget.suite.suites import suite_beside

OF_MODELS = ("suite", "members")
"""The fields of a study that name models, or a folder of them."""


class Member(NamedTuple):
    """A member of a grid as its runs name it."""

    shape: ModelShape
    pooling: Pooling
    weights: str | None

    @property
    def key(self) -> tuple[str | None, str]:
        """What makes it the same model as another: a folder is known by its weights and depth, others by their name."""
        if not (self.weights or "").startswith("sha256:"):
            return None, self.shape.name
        depth = self.shape.name.rpartition(":")[2]
        return self.weights, "" if "/" in depth else depth  # without a depth it is a part of the path


def members_of(names: Iterable[str], pooling: Pooling | None) -> tuple[list[Member], dict[str, str]]:
    """Look members up: by rising size, and why the others, folders all, are none.

    Args:
        names: as the study has them.
        pooling: that of the study; None means each model's own.

    Raises:
        ModelError: a name is no member's, or two names are of one.
    """
    found: dict[tuple[str | None, str], tuple[str, Member]] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            member = Member(find_shape(name), pooling_for(name, pooling), weights_of(name))
        except ModelError as error:
            if local_folder(split_depth(name)[0]) is None:
                raise
            refused[name] = str(error)
            continue
        if member.key in found:
            raise ModelError(f"members {found[member.key][0]} and {name} are the same model: name it once")
        found[member.key] = name, member
    return sorted((member for _, member in found.values()), key=lambda member: member.shape.model_params), refused


def members_by_shape(names: Iterable[str], pooling: Pooling | None) -> list[Member]:
    """Look members up by their shapes alone, by rising size: without their weights, which may not be on this machine.

    Raises:
        ModelError: a name is no member's.
    """
    members = [Member(find_shape(name), pooling or "mean", None) for name in names]
    return sorted(members, key=lambda member: member.shape.model_params)


def beside(here: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a study's fields that name models, with folders relative to ``here``, where the study's file lies."""
    named = {name: fields[name] for name in OF_MODELS if fields.get(name)}
    return {
        name: suite_beside(here, value) if isinstance(value, str) else tuple(name_beside(here, one) for one in value)
        for name, value in named.items()
    }
