"""`embudget push`: a model's folder to the hub, after a look at what would be published."""

from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    model: Annotated[str, typer.Argument(help="Folder, or its URL, that `embudget train` or `embudget export` wrote.")],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where to on the hub; made if it is not there.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private; one that is there must be.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show files, sizes, licences and place; touch no network.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch, made if it is not there; the main one by default.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Publish also what was changed or added since the folder was written.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Publish a model on the hub of Hugging Face.

    Refused are pickles, folders that embudget did not write, and files that were changed since. Look at the lines on
    licences first: embudget compares those of the start and the data, but cannot decide for you.

    The token is that of `hf auth login`, or of the variable HF_TOKEN.

    \b
    Example: embudget push model/ me/my-model --dry-run
             embudget push model/ me/my-model --private
    """  # noqa: D301
    from embudget.exports.push import push

    typer.echo(push(model, repo, private=private, revision=revision, dry_run=dry_run, force=force))
