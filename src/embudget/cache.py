"""Where does embudget keep what can be made or fetched again?"""

import os
from pathlib import Path

from embudget.errors import ConfigError

CACHE, SHARED_CACHE = "EMBUDGET_CACHE", "EMBUDGET_SHARED_CACHE"


def cache_folder() -> Path:
    """The folder for what can be made again, such as converted checkpoints: EMBUDGET_CACHE, else ~/.cache/embudget.

    Raises:
        ConfigError: EMBUDGET_CACHE is a URL. The files in it are mapped into memory, so that it must be a disk.
    """
    named = os.environ.get(CACHE)
    if named and "://" in named:
        raise ConfigError(f"{CACHE} must be a folder of this machine; set {SHARED_CACHE} to share caches by a URL")
    return Path(named or Path.home() / ".cache" / "embudget")


def shared_cache() -> str | None:
    """The URL or folder through which machines share their token caches: EMBUDGET_SHARED_CACHE, if that is set."""
    return os.environ.get(SHARED_CACHE) or None
