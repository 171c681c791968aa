"""Is it a URL or a path, and may it be used as it stands?

A URL is written into records, stores and logs. So one with a password in it is refused: credentials come from where the
libraries look for them, such as the environment, ~/.aws, the machine's role, or fsspec's own configuration.
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from embudget.errors import RemoteError
from embudget.passwords import hide_in_address, secrets_of

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters or more: C: is a disk


def is_url(place: object) -> bool:
    """Whether a text is a URL, such as s3://bucket/pairs; a path never is."""
    return isinstance(place, str) and _URL.match(place) is not None


def check_secrets(url: str) -> str:
    """The URL as it is compared and shown: without a slash at its end, and without secrets.

    Raises:
        RemoteError: there is a password or a token in it, or nothing behind its scheme.
    """
    if secrets_of(url):
        raise RemoteError(
            f"a URL must hold no password, since it is written into records, got {hide_in_address(url)}: put "
            "credentials into the environment, or into fsspec's configuration (~/.config/fsspec/conf.json)"
        )
    scheme, _, rest = url.partition("://")
    if not rest.strip("/"):
        raise RemoteError(f"a URL must name a bucket or a folder, as in {scheme}://bucket/folder, got {url}")
    return f"{scheme}://{rest.rstrip('/')}"


def folder_or_url(place: str | Path) -> str | Path:
    """A place that a user names: a URL as it is, anything else as a path.

    ``Path`` itself would make s3:/bucket of s3://bucket.

    Raises:
        RemoteError: see `check_secrets`.
    """
    return check_secrets(place) if isinstance(place, str) and is_url(place) else Path(place)


def _parsed(place: object) -> object:
    return folder_or_url(place) if isinstance(place, str) else place


FolderOrUrl = Annotated[Path | str, BeforeValidator(_parsed)]
"""A field of a file: a path, or a URL as text."""
