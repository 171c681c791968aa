"""A model at a URL: written on this machine first, put there whole at the end.

Its checkpoints are mirrored beside it, in `{URL}.checkpoints`, so that the same command on another machine goes on.
"""

import hashlib
import shutil
from pathlib import Path

from embudget.cache import cache_folder
from embudget.errors import RunError
from embudget.remote import check_replaceable_url, check_secrets, put_folder
from embudget.training.mirror import checkpoints_at
from embudget.training.resources import Resources


def written_first(url: str, resources: Resources) -> tuple[Path, Resources]:
    """The folder of this machine where a model for a URL is written, and the resources with a mirror of checkpoints.

    Raises:
        RemoteError: the URL cannot be written, or holds files that embudget did not put there.
    """
    url = check_secrets(url)
    check_replaceable_url(url)
    folder = cache_folder() / "outputs" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{url.rpartition('/')[2]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if resources.checkpoints is None:
        here, mirror = checkpoints_at(f"{url}.checkpoints")
        resources = resources._replace(checkpoints=here, mirror=mirror)
    return folder, resources


def put_model(folder: Path, url: str) -> None:
    """Put a model that is finished at its URL, and remove it here.

    Raises:
        RunError: it cannot be read here.
        RemoteError: it cannot be written there; it stays here.
    """
    try:
        put_folder(folder, check_secrets(url))
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror or error}") from None
    shutil.rmtree(folder, ignore_errors=True)
