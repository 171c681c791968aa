"""A model at a URL: written on this machine first, put there whole at the end.

Its checkpoints are mirrored beside it, in `{URL}.checkpoints`, so that the same command on another machine goes on.
"""

import hashlib
import shutil
from pathlib import Path

from embudget.cache import cache_folder
from embudget.errors import RunError
from embudget.remote import check_replaceable_url, folder_or_url, put_folder
from embudget.training.mirror import checkpoints_at
from embudget.training.resources import Resources


def written_first(out: str | Path | None, resources: Resources) -> tuple[Path | None, str | None, Resources]:
    """Where a model is written on this machine, the URL it then goes to, and resources with a place for checkpoints.

    Args:
        out: folder or URL for the model; None where it is not written, and neither are checkpoints.
        resources: where they say nothing of checkpoints, these go beside the model.

    Raises:
        RemoteError: a URL cannot be written, or holds files that embudget did not put there.
    """
    if out is None:
        return None, None, resources
    place = folder_or_url(out)
    if isinstance(place, Path):
        folder, url = place, None
    else:
        check_replaceable_url(place)
        named = f"{hashlib.sha256(place.encode()).hexdigest()[:16]}-{place.rpartition('/')[2]}"
        folder, url = cache_folder() / "outputs" / named, place
    if resources.checkpoints is None:
        here, mirror = checkpoints_at(f"{place}.checkpoints")
        resources = resources._replace(checkpoints=here, mirror=mirror)
    return folder, url, resources


def put_model(folder: Path, url: str | None) -> None:
    """Put a model that is finished at its URL, where it has one, and remove it here.

    Raises:
        RunError: it cannot be read here.
        RemoteError: it cannot be written there; it stays here.
    """
    if url is None:
        return
    try:
        put_folder(folder, url)
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror or error}") from None
    shutil.rmtree(folder, ignore_errors=True)
