"""The command line: one module a command, put together here.

Only signatures are read at start-up; each command imports what it needs when it runs.
"""

import logging
import os
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Annotated, Any, cast

import typer

from embudget.cli import (
    evaluate,
    explain,
    fit,
    pairs,
    quickstart,
    recipe,
    records,
    report,
    simulate,
    suite,
    sweep,
    train,
)
from embudget.cli.console import mind_ctrl_c
from embudget.errors import EmbudgetError
from embudget.training.interrupt import came, told

app = typer.Typer(
    name="embudget",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"embudget {version('embudget')}")
        raise typer.Exit


@app.callback()
def embudget(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Spend a compute budget on a text-embedding model optimally.

    \b
    embudget quickstart      the whole path on this machine, in minutes
    embudget COMMAND --help  one command, with an example

    The path by hand: pairs build, sweep, fit, recipe, train, evaluate.
    """  # noqa: D301 - \b tells the help not to join the lines


app.add_typer(suite.app, name="suite")
app.add_typer(pairs.app, name="pairs")
for command in (train, sweep, records, fit, recipe, explain, simulate, evaluate, report, quickstart):
    app.command(command.__name__.rpartition(".")[2])(command.command)


INTERRUPTED = 130
"""Exit code after Ctrl-C, as of shells: 128 and the signal's number; so it is after SIGTERM and SIGHUP."""


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit code 2, Ctrl-C exit code 130."""
    verbose = bool({"-v", "--verbose"} & set(sys.argv))
    _quieten(not verbose)
    mind_ctrl_c()
    # the base of all complaints about arguments; typer does not export it by name
    bad_arguments: type[Exception] = typer.BadParameter.__bases__[0].__bases__[0]
    try:
        code = app(standalone_mode=False)
    except EmbudgetError as error:
        _fail(str(error), verbose)
    except bad_arguments as error:
        message = cast(Any, error).format_message()
        if message.startswith("Usage:"):  # no arguments at all: the help
            typer.echo(message, err=True)
            sys.exit(2)
        _fail(message)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _fail(f"this needs the package {error.name}: pip install 'embudget[{extra}]'", verbose)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError:
        if came() is None:  # else a terminal that was closed, or a pipe
            raise
        code = INTERRUPTED
    if code == INTERRUPTED:  # some versions of typer turn Ctrl-C into this code
        code = 128 + (came() or INTERRUPTED - 128)
        with suppress(OSError):
            typer.echo(f"embudget: interrupted{'; ' if told() else ''}{told() or ''}", err=True)
    sys.exit(code if isinstance(code, int) else 0)


_EXTRAS = (
    dict.fromkeys(
        ("accelerate", "bm25s", "datasets", "huggingface_hub", "peft", "psutil", "safetensors",
         "sentence_transformers", "sklearn", "tokenizers", "torch", "transformers"),
        "train",
    )
    | dict.fromkeys(("botocore", "gguf", "googleapiclient"), "demo")
    | {"psycopg": "postgresql"}
)  # fmt: skip
"""Package -> the extra that installs it."""


def _fail(message: str, verbose: bool = False) -> None:
    if verbose:
        traceback.print_exc()
    typer.echo(f"embudget: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _quieten(quiet: bool) -> None:
    """Keep all but our warnings off the screen unless it is asked for; embudget never needs the network unasked."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING if quiet else logging.INFO)  # some libraries lower their own loggers' levels
    if quiet:
        handler.addFilter(lambda record: record.levelno >= logging.ERROR or record.name.startswith("embudget."))
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", handlers=[handler])
    if quiet:
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
