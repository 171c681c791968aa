"""Where a run comes from: versions, commit, device."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from embudget.records import Provenance

PACKAGES = ("embudget", "torch", "transformers", "sentence-transformers", "peft")


def provenance(model_revision: str) -> Provenance:
    """Provenance of a run that starts now in this process."""
    import torch

    cuda = torch.cuda.is_available()
    return Provenance(
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES},
        commit=_commit(),
        model_revision=model_revision,
        device=torch.cuda.get_device_name() if cuda else platform.machine() + " CPU",
        threads=torch.get_num_threads(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def _commit() -> str | None:
    """The commit of the checkout that embudget runs from, `-dirty` with changes; None where it was installed."""
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
