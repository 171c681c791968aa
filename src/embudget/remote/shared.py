"""Files of the cache that machines share by a URL: EMBUDGET_SHARED_CACHE=s3://bucket/cache, or a folder that all see.

A file there can be made again, and says by itself whether it is whole. So trouble with the URL is a warning and not an
error: from then on this process works without it.
"""

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.cache import shared_cache
from embudget.errors import RemoteError
from embudget.files import real_path, whole_file
from embudget.remote.address import is_url
from embudget.remote.attempts import attempt
from embudget.remote.folders import make_parent

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LOG = logging.getLogger(__name__)

PATIENCE_SECONDS = 20.0
"""What is asked for is made again in seconds."""

_given_up = threading.Event()


def fetch_shared(name: str, target: Path) -> bool:
    """Fetch a file of the shared cache into one of this machine; False where it is not there, or none is shared."""
    url = _url(name)
    if url is None:
        return False

    def call(fs: "AbstractFileSystem", path: str) -> bool:
        try:
            if not fs.exists(path):
                return False
            with whole_file(target) as part:
                fs.get_file(path, str(part))
        except FileNotFoundError:  # removed since
            return False
        return True

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return attempt(url, "read", call, patience=PATIENCE_SECONDS)
    except (RemoteError, OSError) as error:
        _give_up(error)
        return False


def put_shared(name: str, source: Path) -> None:
    """Put a file of this machine into the shared cache, where there is one."""
    url = _url(name)
    if url is None:
        return

    def call(fs: "AbstractFileSystem", path: str) -> None:
        make_parent(fs, path)
        fs.put_file(str(source), path)

    try:
        attempt(url, "write", call, patience=PATIENCE_SECONDS)
    except RemoteError as error:
        _give_up(error)


def _url(name: str) -> str | None:
    shared = shared_cache()
    if shared is None or _given_up.is_set():
        return None
    base = shared.rstrip("/") if is_url(shared) else real_path(shared).as_uri()
    return f"{base}/{name}"


def _give_up(error: Exception) -> None:
    _given_up.set()
    LOG.warning("the shared cache is not used any more by this process: %s", error)
