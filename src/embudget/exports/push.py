"""Publishing a model's folder on the hub of Hugging Face, after a look at what would be published.

Refused are folders that embudget did not write, files that were changed since, and pickles, which run code when they
are loaded. The card's lines on licences are shown, not judged: whether the model may be published is the user's to
decide. The token is found in huggingface_hub's usual ways (`hf auth login`, HF_TOKEN) and appears in no message.
"""

import re
from pathlib import Path
from typing import NamedTuple, Self

from embudget.errors import ConfigError, EmbudgetError, ModelError, first_line
from embudget.exports.card import licence_lines
from embudget.exports.folder import RECORD_FILE, read_record
from embudget.exports.origins import read_origins
from embudget.exports.pickles import is_pickle
from embudget.owned import difference
from embudget.remote import is_url, local_copy
from embudget.suite.members import local_folder, split_depth

_NO_BRANCH = re.compile(r"[\s~^:?*\[\\\x00-\x1f\x7f]|\.\.|//|@\{|^/|[/.]$|\.lock$")
"""What git allows in no name of a branch (git check-ref-format)."""


class Push(NamedTuple):
    """What is published, and where: printed, it is what a dry run shows."""

    folder: Path
    repo: str
    revision: str | None
    """The branch; None for the main one."""
    private: bool
    files: dict[str, int]
    """Path in the folder -> bytes."""
    licences: tuple[str, ...]
    """The card's lines on licences."""
    warnings: tuple[str, ...]
    url: str
    """Where the model is, or would be."""
    done: bool = False

    def __str__(self) -> str:
        """A line for each file, then what to know before publishing."""
        total = sum(self.files.values())
        place = f"{self.url}{f' (branch {self.revision})' if self.revision else ''}"
        width = max(map(len, self.files), default=0)
        return "\n".join(
            [
                f"{'published' if self.done else 'would publish'} {len(self.files)} files, {_bytes(total)}: {place}",
                *(f"  {name:<{width}}  {_bytes(size)}" for name, size in self.files.items()),
                f"a repository that is new is {'private' if self.private else 'public'}",
                *self.licences,
                *(f"note: {warning}" for warning in self.warnings),
            ]
        )

    @classmethod
    def of(cls, folder: Path, repo: str, revision: str | None, private: bool, force: bool) -> Self:
        """Look at a folder that is to be published, without any network.

        Raises:
            ModelError: it is no model of embudget, was changed since, or holds a pickle.
            ConfigError: the name of the repository or the branch is none.
        """
        from huggingface_hub import constants

        _check_repo(repo)
        if revision is not None and (not revision or revision.startswith("-") or _NO_BRANCH.search(revision)):
            raise ConfigError(f"revision must be a branch such as v1, got {revision!r}")
        files = _files(folder)
        record = read_record(folder)
        changed = difference(folder)
        if changed is not None and not force:
            raise ModelError(f"{folder} is not as embudget wrote it: {changed}; look at it, then add --force")
        warnings = [] if changed is None else [changed]
        start, _ = split_depth(record.config.model)
        if is_url(start) or local_folder(start) or Path(start).is_absolute():
            named = ", ".join(name for name in files if _names(folder / name, start))
            warnings.append(f"{_what(start)} is named in {named}")
        return cls(
            folder, repo, revision, private, files, tuple(licence_lines(read_origins(folder))), tuple(warnings),
            f"{constants.ENDPOINT}/{repo}",
        )  # fmt: skip


def _what(start: str) -> str:
    return start if is_url(start) else f"the folder {start} of this machine"


def push(
    model: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> Push:
    """Publish the folder of a model on the hub.

    Files of the same names there are replaced, others stay. A repository that is not there is made.

    Args:
        model: a folder, or its URL, that embudget wrote, by training or export.
        repo: ORG/NAME on the hub.
        private: whether a new repository is private; one that is there must be private already.
        revision: the branch, made if it is not there; None for the main one.
        dry_run: only look at what would be published, without any network.
        force: publish files that embudget did not write or that were changed since, too.

    Returns:
        The files with their sizes, the lines on licences and the address; printed, it is what a dry run shows.

    Raises:
        ModelError: the folder is no model of embudget, was changed since, or holds a pickle; or the hub refuses it or
            cannot be reached.
        ConfigError: ``repo`` or ``revision`` is no such name.

    Example:
        >>> print(eb.push("model/", "me/my-model", dry_run=True))
        would publish 11 files, 512.4 MB: https://huggingface.co/me/my-model
        ...
    """
    plan = Push.of(local_copy(model), repo, revision, private, force)
    if dry_run:
        return plan
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    # the base of all errors of the library's HTTP client, whose package has changed its name
    http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        _upload(plan)
    except EmbudgetError:
        raise
    except (http_error, OSError, RuntimeError, ValueError) as error:
        reason = _reason(error, repo)
        if token := huggingface_hub.get_token():
            reason = reason.replace(token, "***")
        raise ModelError(f"cannot publish {plan.folder}: {reason}") from None
    return plan._replace(done=True)


def _upload(plan: Push) -> None:
    """Make the repository and the branch, and put the files there."""
    from huggingface_hub import HfApi

    api = HfApi(library_name="embudget")
    api.create_repo(plan.repo, private=plan.private or None, exist_ok=True)
    if plan.private and not api.model_info(plan.repo).private:
        raise ModelError(
            f"{plan.repo} is there and public, so nothing was published: make it private on the hub, or leave out "
            "--private"
        )
    if plan.revision is not None:
        api.create_branch(plan.repo, branch=plan.revision, exist_ok=True)
    api.upload_folder(
        repo_id=plan.repo,
        folder_path=plan.folder,
        revision=plan.revision,
        commit_message="Upload a model of embudget",
    )


def _files(folder: Path) -> dict[str, int]:
    """The files of a model's folder with their bytes.

    Raises:
        ModelError: it is no model of embudget, holds a link, or a pickle.
    """
    if not folder.is_dir() or not (folder / RECORD_FILE).is_file() or not (folder / "README.md").is_file():
        raise ModelError(
            f"{folder} is no trained model of embudget, which holds {RECORD_FILE} and README.md: train one first"
        )
    files: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ModelError(f"{path} is a link or no file: only the folder's own files are published")
        if path.is_dir():
            continue
        if is_pickle(path):
            raise ModelError(f"{path} is a pickle, which runs code when it is loaded: remove it, safetensors suffices")
        files[name] = path.stat().st_size
    return files


def _names(path: Path, start: str) -> bool:
    """Whether a text that embudget wrote beside the weights holds the path of the folder that training began from."""
    return path.suffix in (".json", ".md") and start in path.read_text(encoding="utf-8", errors="replace")


def _check_repo(repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # public, not marked as exported

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigError(f"repo must be ORG/NAME on the hub, got {repo!r}: {first_line(error)[:150]}") from None
    if repo.count("/") != 1:
        raise ConfigError(f"repo must be ORG/NAME on the hub, got {repo!r}")


def _reason(error: Exception, repo: str) -> str:
    """Why the hub does not take the files, in one line that says what to do."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error.__cause__, Exception) and isinstance(error, RuntimeError):  # raised in a thread
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the hub is not asked: unset it"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        what = "there is no token" if get_token() is None else "the hub does not accept the token"
        return f"{what} (401): log in with `hf auth login`, or set HF_TOKEN to a token that may write"
    if status == 403:
        return f"the token may not write to {repo} (403): use one with write access to {repo.partition('/')[0]}"
    if status == 404:
        return f"the hub knows no {repo} that this token may see (404)"
    if status is not None:
        return f"the hub answers {status}: {first_line(error)[:200]}"
    if isinstance(error, ValueError | RuntimeError) or (isinstance(error, OSError) and error.strerror):
        return first_line(error)[:200]
    return f"{constants.ENDPOINT} cannot be reached: {first_line(error)[:150]}"


def _bytes(size: int) -> str:
    """A size for a reader, in powers of ten."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
