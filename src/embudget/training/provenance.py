"""Where a run comes from: versions, commit, model files, device."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from embudget.records import Provenance

PACKAGES = ("embudget", "torch", "transformers", "sentence-transformers", "peft")


def provenance(model: str) -> Provenance:
    """The provenance of a run on a member that starts now in this process.

    Raises:
        ModelError: the member's files cannot be found.
    """
    import torch

    from embudget.suite.loading import find_checkpoint

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    name = platform.machine() + " CPU"
    if accelerator is not None:
        named = getattr(torch.get_device_module(accelerator), "get_device_name", lambda: accelerator.type)
        name = str(named())
    return Provenance(
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES},
        commit=_commit(),
        model_revision=find_checkpoint(model).identity,
        device=name,
        threads=torch.get_num_threads(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def _commit() -> str | None:
    """The commit of the checkout that embudget runs from, with `-dirty` if it has changes; None for an installation."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None
