"""The laws of the house, one test each: docs/decisions.md says why; a failure names file and line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "toolorch_api": ROOT / "crds/toolorch_api",
    "toolorch_operator": ROOT / "operator/toolorch_operator",
    "toolorch_evaluator": ROOT / "evaluator/toolorch_evaluator",
    "toolorch_mock": ROOT / "evaluator/toolorch_mock",
}
MAX_FILE_LINES = 200
MAX_FUNCTION_LINES = 50
MAX_MEDIAN_LINES = 8

# A pure module decides and does nothing: no clock, no chance, no input or output.
IMPURE = frozenset(
    (
        "aiohttp", "asyncio", "httpx", "kopf", "kubernetes", "logging", "obstore", "openai", "os", "pathlib",
        "prometheus_client", "random", "secrets", "shutil", "signal", "socket", "structlog", "subprocess", "sys",
        "tempfile", "threading", "time", "urllib.request",
    )
)  # fmt: skip
CLOCKS = frozenset(("now", "utcnow", "today", "uuid1", "uuid4"))

# One door to each thing outside; who else needs it goes through that door.
DOORS = {
    "kopf": {"toolorch_operator.handlers"},
    "kubernetes": {"toolorch_operator.cluster"},
    "obstore": {"toolorch_operator.storage", "toolorch_evaluator.results"},
    "prometheus_client": {"toolorch_operator.metrics"},
}
# They run alone, in another image or before the package is importable.
STANDALONE = {f"toolorch_operator.programs.{name}" for name in ("launcher", "crash_story", "fetch")}

NOT_A_NAME = frozenset(("manager", "helper", "helpers", "util", "utils", "data", "info", "process"))


def sources() -> Iterator[tuple[str, Path]]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join((package, *(p for p in parts if p != "__init__"))), path


MODULES = dict(sources())
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def room(name: str) -> str:
    """PURE or EDGE, as the module's docstring says; empty where it says neither."""
    text = ast.get_docstring(TREES[name]) or ""
    words = re.findall(r"\b(PURE|EDGE)\.", text)
    return words[0] if len(words) == 1 else ""


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def test_the_folder_operator_never_shadows_the_standard_library():
    assert not (ROOT / "operator/__init__.py").exists()
    assert not (ROOT / "tests/operator/__init__.py").exists()


def test_import_contracts_hold():
    """The contracts stand in pyproject.toml under tool.importlinter."""
    linter = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert linter.returncode == 0, linter.stdout + linter.stderr


def test_every_room_of_the_operator_says_what_it_is():
    rooms = [n for n in MODULES if n.startswith("toolorch_operator.") and n not in STANDALONE]
    silent = [n for n in rooms if MODULES[n].name not in ("__init__.py", "__main__.py") and not room(n)]
    assert not silent, "the docstring must say PURE. or EDGE., and only one of them"


def impurities(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{line}: async"
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            yield f"{line}: {node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print"):
            yield f"{line}: {node.func.id}()"
    for imported, line in imports(tree):
        parents = {imported.rsplit(".", n)[0] for n in range(imported.count(".") + 1)}
        if parents & IMPURE or any(p in TREES and room(p) == "EDGE" for p in parents):
            yield f"{line}: import {imported}"


def test_pure_rooms_are_pure():
    pure = [n for n in MODULES if (n.startswith("toolorch_api") and n != "toolorch_api.crd") or room(n) == "PURE"]
    assert not {n: found for n in pure if (found := list(impurities(TREES[n])))}


@pytest.mark.parametrize("package", DOORS)
def test_each_outside_thing_has_one_door(package):
    through = {n for n, tree in TREES.items() if any(i.partition(".")[0] == package for i, _ in imports(tree))}
    assert through <= DOORS[package]


def test_the_environment_is_read_in_one_place():
    readers = {
        name
        for name, tree in TREES.items()
        if name.split(".")[0] in ("toolorch_api", "toolorch_operator")
        if any(isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in ast.walk(tree))
    }
    assert readers <= STANDALONE | {"toolorch_operator.__main__", "toolorch_operator.exam"}


def test_files_are_small():
    lines = {name: path.read_text().count("\n") for name, path in MODULES.items()}
    assert not {name: n for name, n in lines.items() if n > MAX_FILE_LINES}


def test_functions_are_small():
    lengths = {f"{name}.{f.name}": length(f) for name, tree in TREES.items() for f in functions(tree)}
    assert not {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("package", PACKAGES)
def test_half_of_all_functions_have_eight_lines_or_fewer(package):
    lengths = sorted(length(f) for n, tree in TREES.items() if n.split(".")[0] == package for f in functions(tree))
    assert lengths[len(lengths) // 2] <= MAX_MEDIAN_LINES


def test_every_module_says_what_it_is_for():
    assert not [name for name, tree in TREES.items() if not ast.get_docstring(tree)]


def words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()))


def test_names_say_something():
    named = [(name, name.rpartition(".")[2]) for name in MODULES] + [
        (name, node.name)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert not [f"{module}: {name}" for module, name in named if words(name) & NOT_A_NAME]


def test_tests_patch_nothing_and_are_no_packages():
    tests = ROOT / "tests"
    assert not list(tests.rglob("__init__.py"))
    patching = re.compile(r"\bmonkeypatch\.(setattr|setitem|delattr|delitem)\b|\bunittest\.mock\b|\bMagicMock\b")
    others = (p for p in tests.rglob("*.py") if p != Path(__file__))
    assert not [str(p.relative_to(ROOT)) for p in others if patching.search(p.read_text())]
