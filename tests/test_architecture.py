"""The structure of the package: imports go one way, and planning and fitting never load torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "embudget"

LAYERS = [
    "errors", "passwords", "frozen", "limits", "number", "duration", "plural", "reading", "contents", "parts", "files",
    "owned", "outputs", "cache", "remote", "suite", "pairs", "methods", "palette", "flops", "means", "memory", "speed",
    "records", "yardstick", "exports", "training", "evaluation", "study", "comparison", "runs", "choices", "laws",
    "recipe", "findings", "design", "spending", "figures", "report", "cli", "__main__",
]  # fmt: skip
"""A module may import from its own layer and from earlier ones."""

FORBIDDEN = {
    "runs": {"pairs", "training"},
    "choices": {"pairs", "training", "records"},
    "laws": {"pairs", "training"},
    "recipe": {"pairs", "training"},
    "findings": {"pairs", "training"},
    "comparison": {"pairs", "training"},
    "methods": {"pairs"},
}
HEAVY = {
    "torch",
    "transformers",
    "sentence_transformers",
    "peft",
    "datasets",
    "accelerate",
    "sklearn",
    "psutil",
    "bm25s",
    "onnx",
    "onnxruntime",
    "openvino",
    "fsspec",
    "s3fs",
}
"""Packages of the extra `train`, without which plans, fits and recipes must work."""


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "embudget":
            yield from ((f"embudget.{alias.name}", node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_module_has_its_layer() -> None:
    assert {layer_of(path) for path in SOURCES} == set(LAYERS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_upwards(path: Path) -> None:
    layer = layer_of(path)
    for module, _ in imports(ast.parse(path.read_text())):
        if not module.startswith("embudget."):
            continue
        other = module.split(".")[1]
        assert LAYERS.index(other) <= LAYERS.index(layer), f"{layer} imports {module}"
        assert other not in FORBIDDEN.get(layer, set()), f"{layer} imports {module}"


@pytest.mark.parametrize(
    "layer",
    [
        "methods",
        "flops",
        "means",
        "memory",
        "speed",
        "records",
        "yardstick",
        "comparison",
        "runs",
        "choices",
        "laws",
        "recipe",
        "findings",
        "figures",
        "report",
        "design",
        "cli",
        "pairs",
    ],
)
def test_torch_is_imported_only_where_it_is_used(layer: str) -> None:
    for path in (path for path in SOURCES if layer_of(path) == layer):
        tree = ast.parse(path.read_text())
        inside = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
            for inner in ast.walk(node)
        }
        top = {module.split(".")[0] for module, node in imports(tree) if id(node) not in inside}
        assert not top & HEAVY, f"{path} imports {top & HEAVY} when it is loaded"


def definitions(kinds: tuple[type[ast.AST], ...]) -> dict[str, list[str]]:
    """Public name -> the modules that define it at their top level, the commands of the command line left out."""
    found: dict[str, list[str]] = {}
    for path in (path for path in SOURCES if layer_of(path) != "cli"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, kinds):
                name: str = node.name  # type: ignore[attr-defined]
                if not name.startswith("_"):
                    found.setdefault(name, []).append(str(path.relative_to(PACKAGE)))
    return found


def test_a_class_has_its_name_for_itself() -> None:
    assert {name: paths for name, paths in definitions((ast.ClassDef,)).items() if len(paths) > 1} == {}


def test_a_public_function_has_its_name_for_itself() -> None:
    """The overloads of one function, which type checkers read, are one."""
    found = definitions((ast.FunctionDef,))
    assert {name: paths for name, paths in found.items() if len(set(paths)) > 1} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import embudget.cli.app",
        "import embudget as eb; eb.fit, eb.recommend, eb.explain, eb.write_report, eb.Study, eb.Store, eb.load_pairs",
        "import embudget as eb; eb.compare, eb.agree",
    ],
)
def test_planning_and_fitting_load_no_torch(code: str) -> None:
    check = f"import sys; {code}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    import embudget

    for name in embudget.__all__:
        assert callable(getattr(embudget, name)) or name == "__version__"


def test_no_files_import_each_other_in_a_circle() -> None:
    """A circle has no first room: whoever reads one of its files must have read the others before."""
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in SOURCES}
    tied: dict[str, set[str]] = {}
    for name, path in modules.items():
        if path.name == "__init__.py":  # a package's face only hands names on
            continue
        tied[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    tied[name] |= {one for one in (node.module, f"{node.module}.{alias.name}") if one in modules}
    for name in tied:
        seen, waiting = set(), list(tied[name])
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += tied.get(one, ())
        assert name not in seen, f"{name} imports itself through others"
