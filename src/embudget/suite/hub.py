"""What does the Hugging Face hub know of a model? Its small files, fetched into the local cache, or why not, in a line.

The hub's client says in several lines, or in the words of a generic error, what is one of five things: there is no such
model or no right to see it, its owner must grant access, the token is no good, nobody answers, or this machine works
offline. Each becomes one line with what to do.
"""

from pathlib import Path

from embudget.errors import ModelError, first_line


def hub_config(hub_id: str, revision: str | None) -> Path:
    """Fetch a checkpoint's config.json from the hub into the local cache, into a folder that has the commit's name.

    Raises:
        ModelError: the hub has no such checkpoint or does not give it, or its client is not installed.
    """
    path = hub_file(hub_id, "config.json", revision)
    if path is None:
        raise ModelError(_unreadable(hub_id, f"it has no config.json at {revision or 'its main branch'}"))
    return path


def hub_file(hub_id: str, name: str, revision: str | None = None) -> Path | None:
    """Fetch a small file of a checkpoint from the hub.

    Returns:
        Its place in the cache; None where the checkpoint has no such file, or offline where none is in the cache
        (`config.json` excepted, without which a checkpoint is none).

    Raises:
        ModelError: the hub has no such checkpoint or does not give it, or its client is not installed.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        raise ModelError(f"{hub_id} is on the hub, which needs `pip install embudget[train]`") from None
    try:
        return Path(hf_hub_download(hub_id, name, revision=revision))
    except LocalEntryNotFoundError as error:
        if name == "config.json":
            raise ModelError(_unreadable(hub_id, _reason(error))) from None
        return None
    except EntryNotFoundError:
        return None
    except Exception as error:  # the client passes on whatever its HTTP library raises
        raise ModelError(_unreadable(hub_id, _reason(error))) from None


def _unreadable(hub_id: str, why: str) -> str:
    return f"{hub_id} is neither a folder nor can it be read from the hub: {why}"


def _reason(error: Exception) -> str:
    """Why the hub did not give a file, in one line and with what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):  # a kind of RepositoryNotFoundError, so it goes first
        return "its owner grants access to it: ask for it on its page there, then log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such model, or it is private and you are not logged in with a token that may read it"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        said = error.response.headers.get("X-Error-Message") or error.server_message or first_line(error)
        if status == 401:
            return f"it does not accept your token ({first_line(ValueError(said))[:80]}): log in with `hf auth login`"
        return f"it answered {status}: {first_line(ValueError(said))[:120]}"
    if isinstance(error, LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            return "it is not in the local cache, and HF_HUB_OFFLINE is set"
        if isinstance(error.__cause__, HfHubHTTPError):
            return _reason(error.__cause__)
        return f"{constants.ENDPOINT} cannot be reached, and it is not in the local cache"
    return first_line(error)[:160]
