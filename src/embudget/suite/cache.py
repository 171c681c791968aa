"""Where does embudget keep what can be made again?"""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be made again, such as converted checkpoints: EMBUDGET_CACHE, else ~/.cache/embudget."""
    return Path(os.environ.get("EMBUDGET_CACHE") or Path.home() / ".cache" / "embudget")
