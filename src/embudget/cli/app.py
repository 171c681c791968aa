"""The command line: one module a command, put together here.

Only signatures are read at start-up; each command imports what it needs when it runs.
"""

import contextlib
import io
import logging
import os
import sys
import traceback
import warnings
from typing import Annotated, Any, NoReturn, cast

import typer

from embudget.cli import (
    agree,
    compare,
    design,
    evaluate,
    explain,
    export,
    figures,
    fit,
    pairs,
    plan,
    push,
    quickstart,
    recipe,
    records,
    report,
    simulate,
    spend,
    store,
    suite,
    sweep,
    train,
    upload,
    watch,
    worker,
)
from embudget.cli.console import mind_ctrl_c
from embudget.cli.messages import check_arguments, one_line, with_options
from embudget.errors import EmbudgetError
from embudget.passwords import hide_passwords
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
    embudget quickstart      one budget spent on this machine, in minutes
    embudget spend           the same with your models, pairs and budget
    embudget COMMAND --help  one command, with an example

    The path by hand: pairs build, sweep, fit, recipe, train, evaluate, export.
    """  # noqa: D301 - \b tells the help not to join the lines


app.add_typer(suite.app, name="suite")
app.add_typer(pairs.app, name="pairs")
app.add_typer(store.app, name="store")
for command in (
    spend, plan, train, sweep, worker, watch, records, compare, fit, recipe, explain, agree, simulate, design, evaluate,
    export, push, upload, figures, report, quickstart,
):  # fmt: skip
    app.command(command.__name__.rpartition(".")[2])(command.command)


INTERRUPTED, BROKEN_PIPE = 130, 1
"""Exit codes after Ctrl-C, as of shells 128 and the signal's number, and after the reader of a pipe has gone."""
_RESUMING = ("spend", "sweep", "quickstart")
"""Commands that go on where they stopped when they are given again. What `train` kept is said by the run itself."""


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit code 2, a signal gives 128 + its number."""
    verbose = bool({"-v", "--verbose"} & set(sys.argv))
    _quieten(not verbose)
    _write_any_letter()
    mind_ctrl_c()
    try:
        code = _run(verbose)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk is still one line
    except BrokenPipeError:  # as of `embudget records study.db | head`
        _forget_output()
        code = BROKEN_PIPE
    except OSError as error:
        if error.errno is None:  # a bug, which keeps its traceback
            raise
        _forget_output()
        _fail(f"cannot write the output: {error.strerror}", verbose)
    sys.exit(code)


def _run(verbose: bool) -> int:
    """Run the command of the arguments; its exit code."""
    # the base of all complaints about arguments; typer does not export it by name
    bad_arguments: type[Exception] = typer.BadParameter.__bases__[0].__bases__[0]
    try:
        check_arguments(sys.argv[1:])
        code = app(standalone_mode=False)
    except EmbudgetError as error:
        _fail(with_options(str(error), typer.main.get_command(app), sys.argv[1:]), verbose)
    except bad_arguments as error:
        message = cast(Any, error).format_message()
        if message.startswith("Usage:"):  # no arguments at all: the help
            typer.echo(message, err=True)
            return 2
        _fail(message)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _fail(f"this needs the package {error.name}: pip install 'embudget[{extra}]'", verbose)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        if came() is None:  # else a terminal that was closed, or a pipe
            _fail_of_file(error, verbose)
        code = INTERRUPTED
    if code == INTERRUPTED:  # some versions of typer turn Ctrl-C into this code
        return _interrupted()
    return code if isinstance(code, int) else 0


def _fail_of_file(error: OSError, verbose: bool) -> NoReturn:
    """Blame the file that an error names; without a name it is no user's error."""
    if error.filename is None:
        raise error
    _fail(f"cannot use {os.fsdecode(error.filename)}: {error.strerror}", verbose)


def _interrupted() -> int:
    """Say that a signal ended the command, and what is kept; the exit code."""
    resuming = sys.argv[1:2] and sys.argv[1] in _RESUMING
    kept = told() or ("the same command goes on where it stopped" if resuming else "")
    with contextlib.suppress(OSError):  # a terminal that was closed
        typer.echo(f"embudget: interrupted{'; ' if kept else ''}{kept}", err=True)
    return 128 + (came() or INTERRUPTED - 128)


_EXTRAS = dict.fromkeys(
    (
        "accelerate", "bm25s", "datasets", "fsspec", "huggingface_hub", "peft", "psutil", "safetensors",
        "sentence_transformers", "sklearn", "tokenizers", "torch", "transformers",
    ),
    "train",
) | dict.fromkeys(
    (
        "aiohttp", "botocore", "gguf", "googleapiclient", "matplotlib", "networkx", "skimage", "statsmodels", "sympy",
    ),
    "demo",
) | dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx") | {
    "mteb": "mteb", "openvino": "openvino", "psycopg": "postgresql", "submitit": "slurm", "ray": "ray", "grpc": "ray",
}  # fmt: skip
"""Package -> the extra that installs it."""


def _fail(message: str, verbose: bool = False) -> NoReturn:
    if verbose:
        traceback.print_exc()
    with contextlib.suppress(OSError):  # nobody can be told
        typer.echo(f"embudget: {one_line(hide_passwords(message))}", err=True)
    sys.exit(2)


def _write_any_letter() -> None:
    """Print what the terminal's encoding lacks as an escape, instead of failing at a letter."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Have what could not be written go nowhere, or Python would complain of it once more as it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
