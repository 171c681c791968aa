"""`embudget upload`: a folder of this machine to a URL, such as s3://bucket/pairs, whole or not at all."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    folder: Annotated[Path, typer.Argument(help="Pairs, a model, or any other folder.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to, such as s3://bucket/pairs.")],
    verbose: Verbose = False,
) -> None:
    """Put pairs or a model at a URL, from where any machine uses them.

    A manifest with the hash of each file is written last, so that a reader sees the whole folder or nothing. An earlier
    folder there is replaced; files that embudget did not put there are refused.

    Credentials are those of the environment, of ~/.aws or of the machine's role.

    \b
    Examples: embudget upload pairs/ s3://bucket/pairs
              embudget upload model/ gs://bucket/model
    """  # noqa: D301
    from embudget.errors import ConfigError
    from embudget.remote import is_url, put_folder

    if not is_url(url):
        raise ConfigError(f"URL must be one such as s3://bucket/pairs, got {url!r}")
    if not folder.is_dir():
        raise ConfigError(f"FOLDER must be a folder, got {folder}")
    try:
        manifest = put_folder(folder, url)
    except OSError as error:
        raise ConfigError(f"cannot read {folder}: {error.strerror or error}") from None
    size = sum(file.bytes for file in manifest.files.values())
    typer.echo(f"{url}: {len(manifest.files)} files, {size / 1e6:.3g} MB, content {manifest.content}")
