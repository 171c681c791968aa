import subprocess
import sys

import pytest

from tests.command_line import Run

COMMANDS = [
    "suite list", "suite show", "pairs build", "pairs index", "pairs stats", "pairs show",
    "spend", "plan", "design", "train", "sweep", "records", "compare", "fit", "recipe", "explain", "agree",
    "simulate", "evaluate", "export", "push", "upload", "report", "figures", "quickstart", "worker", "watch",
    "store copy",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_verbose(run: Run, command: str) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert "Example" in out
    assert f"embudget {command}" in out
    assert "-v, --verbose" in out


def test_the_overview_names_every_command(run: Run) -> None:
    out = run("--help").out
    assert all(command.split()[0] in out for command in COMMANDS)


def test_the_version(run: Run) -> None:
    from embudget import __version__

    assert run("--version").out.strip() == f"embudget {__version__}"


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_start_loads_nothing_heavy(option: str) -> None:
    """The time itself is measured in benchmarks/; here only that nothing of weight is imported."""
    code = (
        f"import sys; sys.argv = ['embudget', {option!r}]\n"
        "from embudget.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pydantic', 'pandas', 'pyarrow', 'sqlalchemy', 'plotly', 'transformers'}\n"
        "sys.stderr.write(', '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("quiet", "said"), [(True, ["ours", "broken"]), (False, ["ours", "theirs", "chatter", "broken"])]
)
def test_our_warnings_are_shown_and_the_libraries_only_when_asked_for(quiet: bool, said: list[str]) -> None:
    code = (
        f"import logging; from embudget.cli.app import _quieten; _quieten({quiet})\n"
        "logging.getLogger('embudget.training').warning('ours')\n"
        "logging.getLogger('transformers').warning('theirs')\n"
        "logging.getLogger('embudget.training').info('chatter')\n"
        "logging.getLogger('transformers').error('broken')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.rpartition(": ")[2] for line in done.stderr.splitlines()] == said


def test_the_module_runs_like_the_command() -> None:
    """At once: what takes seconds to import, on a busy machine many, waits for a command that needs it."""
    command = [sys.executable, "-X", "importtime", "-m", "embudget", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("embudget ")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"numpy", "pandas", "plotly", "scipy", "sqlalchemy", "torch"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command"),
        (["train", "--colour", "red"], "No such option"),
        (["train", "--pairs"], "requires an argument"),
        (["recipe", "laws.json", "--mfu", "much"], "valid number"),
        (["sweep"], "Missing argument"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
