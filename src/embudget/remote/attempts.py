"""Doing something at a URL, again where it fails for a reason that passes: 500, 503, a timeout, a lost connection.

Pauses grow from half a second to 20 s, and the time is bounded. What does not pass ends it at once, in one line: 403,
no such bucket, a missing package, a full disk of this machine. fsspec's implementations raise whatever their libraries
do, so what does not pass is listed here, and everything else may pass.
"""

import errno
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from embudget.errors import EmbudgetError, RemoteError, first_line, shortened
from embudget.passwords import hide_in_address, hide_passwords
from embudget.remote.address import check_secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LOG = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0
"""How long trouble that may pass is waited for, unless the caller says otherwise."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0

_BUGS = (TypeError, AttributeError, LookupError, AssertionError, NameError, ArithmeticError, MemoryError)
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, ValueError)
_LASTING_NAMES = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"}
"""Errors of botocore, which is imported only by s3fs."""
_HERE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Trouble of this machine's own disk."""
_EXTRAS = {"s3": ("s3fs", "'embudget[s3]'"), "s3a": ("s3fs", "'embudget[s3]'")}

T = TypeVar("T")

_random = random.Random()


def opened(url: str) -> "tuple[AbstractFileSystem, str]":
    """The file system of a URL and the path in it. Listings are not cached, since other machines write too.

    Raises:
        RemoteError: the package for it is missing, or the scheme is unknown.
    """
    scheme = check_secrets(url).partition("://")[0]
    package, extra = _EXTRAS.get(scheme, ("fsspec", "'embudget[s3]'"))
    try:
        from fsspec.core import url_to_fs

        fs, path = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        if scheme in _EXTRAS or error.name == "fsspec":
            raise RemoteError(f"{url} needs the package {package}: pip install {extra}") from None
        raise RemoteError(f"{url} needs a package: {first_line(error)}") from None
    except ValueError as error:
        raise RemoteError(f"{url} cannot be opened: {first_line(error)}") from None
    return fs, path.rstrip("/")


def attempt(
    url: str,
    doing: str,
    call: "Callable[[AbstractFileSystem, str], T]",
    *,
    patience: float | None = None,
    stop: threading.Event | None = None,
) -> T:
    """Call something with the file system of a URL and the path in it, again while it fails for reasons that pass.

    Args:
        url: a file or a folder.
        doing: for the message, "cannot {doing} s3://...".
        call: may be called several times; raises FileNotFoundError where what it needs is not there.
        patience: seconds of trouble; by default `PATIENCE_SECONDS`.
        stop: ends the waiting early.

    Raises:
        RemoteError: the trouble does not pass; one line without secrets.
    """
    fs, path = opened(url)
    patience = PATIENCE_SECONDS if patience is None else patience
    until, pause, told = time.monotonic() + patience, FIRST_PAUSE, False
    while True:
        try:
            return call(fs, path)
        except (EmbudgetError, *_BUGS):
            raise
        except Exception as error:  # each implementation of fsspec raises what its libraries do
            reason, shown = _reason(error), hide_in_address(url)
            if _is_lasting(error):
                raise RemoteError(f"cannot {doing} {shown}: {reason}") from None
            if time.monotonic() + pause > until or (stop is not None and stop.is_set()):
                raise RemoteError(f"cannot {doing} {shown}: {reason}, for {patience:.0f} s") from None
        if not told and patience > LONGEST_PAUSE:
            LOG.warning("cannot %s %s yet: %s; trying again for %.0f s", doing, shown, reason, patience)
            told = True
        (stop or threading.Event()).wait(pause * (0.5 + _random.random()))
        pause = min(2 * pause, LONGEST_PAUSE)


def lacks_bucket(error: Exception) -> bool:
    """Whether not only a file is missing but the whole bucket, in the words of S3 and of Google."""
    return "bucket does not exist" in str(error).lower()


def _is_lasting(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, _LASTING) or bool(names & _LASTING_NAMES) or getattr(error, "errno", None) in _HERE


def _reason(error: Exception) -> str:
    """What went wrong, in the words of whoever said it, and what to do about it where that is known."""
    said = shortened(hide_passwords(first_line(error)), 160)
    if "NoCredentialsError" in {kind.__name__ for kind in type(error).__mro__}:
        return f"{said}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, PermissionError):
        return f"no permission ({said})"
    if isinstance(error, FileNotFoundError):
        return said if lacks_bucket(error) else f"there is nothing ({said})"
    return said
