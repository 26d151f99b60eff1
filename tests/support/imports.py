"""What our modules import, read from their source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "coreos_py"


class Import(NamedTuple):
    """One import: by whom, of what, on which line, and whether it happens when the module loads."""

    module: str
    target: str
    line: int
    at_load: bool


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def of_module(name: str, path: Path, known: set[str]) -> list[Import]:
    """The imports of one module; `from package import module` counts as an import of the module."""
    found: list[Import] = []
    _walk(ast.parse(path.read_text()), name, known, found, at_load=True)
    return found


def graph() -> list[Import]:
    """All imports of the package."""
    paths = modules()
    return [item for name, path in paths.items() for item in of_module(name, path, set(paths))]


def family(module: str) -> str:
    """The sub-package a module belongs to; "top" for those beside multicall."""
    parts = module.split(".")
    if len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
        return parts[1]
    return "top"


def _walk(node: ast.AST, name: str, known: set[str], found: list[Import], *, at_load: bool) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found += [Import(name, alias.name, child.lineno, at_load) for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                target = inner if inner in known else str(child.module)
                found.append(Import(name, target, child.lineno, at_load))
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            for part in child.body:
                _walk(ast.Module([part], []), name, known, found, at_load=False)
            for part in child.orelse:
                _walk(ast.Module([part], []), name, known, found, at_load=at_load)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            _walk(child, name, known, found, at_load=at_load and not function)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
