"""Helper modules and packages beside the notebook, followed through their own imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from .parsing import imports_of, parse_source
from .shapes import Import, LocalModule, Statement


def local_modules(
    folder: Path, imports: Iterable[Import], statements: Sequence[Statement]
) -> tuple[LocalModule, ...]:
    """The files beside the notebook, or in folders put on ``sys.path``, that ``imports`` lead to.

    A file named like a standard library module is not looked for.
    """
    folders = [folder, *_path_entries(folder, statements)]
    found: dict[str, LocalModule] = {}
    waiting = [(item, "") for item in imports]
    while waiting:
        item, package = waiting.pop()
        for module in _candidates(item, package):
            for local in _files(folders, module):
                if local.path not in found:
                    found[local.path] = local
                    own = (
                        local.module
                        if local.path.endswith("/__init__.py")
                        else local.module.rpartition(".")[0]
                    )
                    waiting += [(inner, own) for inner in local.imports]
    return tuple(found[path] for path in sorted(found))


def reachable(modules: Sequence[LocalModule], imports: Iterable[Import]) -> tuple[LocalModule, ...]:
    """Those of ``modules`` that ``imports`` lead to, directly or through each other."""
    by_name: dict[str, list[LocalModule]] = {}
    for module in modules:
        by_name.setdefault(module.module, []).append(module)
    found: dict[str, LocalModule] = {}
    waiting = [(item, "") for item in imports]
    while waiting:
        item, package = waiting.pop()
        names = {part for name in _candidates(item, package) for part in _prefixes(name)}
        for local in (local for name in sorted(names) for local in by_name.get(name, ())):
            if local.path not in found:
                found[local.path] = local
                waiting += [(inner, _package(local)) for inner in local.imports]
    return tuple(found[path] for path in sorted(found))


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _package(module: LocalModule) -> str:
    return module.module if module.path.endswith("/__init__.py") else module.module.rpartition(".")[0]


def _candidates(item: Import, package: str) -> list[str]:
    """Dotted names of modules that an import may load."""
    base = item.module
    if item.level:
        parents = package.split(".")[: len(package.split(".")) - item.level + 1] if package else []
        base = ".".join([*parents, *([item.module] if item.module else [])])
    names = [base] if base else []
    if item.name and item.name != "*":
        names.append(f"{base}.{item.name}" if base else item.name)
    return names


def _files(folders: Sequence[Path], module: str) -> list[LocalModule]:
    """The files that importing ``module`` runs: each package's ``__init__.py``, then the module itself."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names:
        return []
    for folder in folders:
        found = []
        for depth in range(1, len(parts) + 1):
            stem = "/".join(parts[:depth])
            for path in (f"{stem}.py", f"{stem}/__init__.py"):
                if (folder / path).is_file():
                    found.append(_module(folder / path, path, ".".join(parts[:depth])))
                    break
        if found:
            return found
    return []


def _module(file: Path, path: str, name: str) -> LocalModule:
    data = file.read_bytes()
    try:
        tree = parse_source(data.decode("utf-8-sig"))
    except (SyntaxError, ValueError):
        return LocalModule(path, name, data)
    return LocalModule(path, name, data, tuple(imports_of(tree, 0)))


def _path_entries(folder: Path, statements: Sequence[Statement]) -> list[Path]:
    """Folders that literal ``sys.path.append`` and ``insert`` calls name, relative to the notebook."""
    entries = []
    for statement in statements:
        if not {"sys.path.append", "sys.path.insert"} & statement.calls:
            continue
        constants = (node.value for node in ast.walk(statement.node) if isinstance(node, ast.Constant))
        entries += [folder / value for value in constants if isinstance(value, str)]
    return [entry for entry in entries if entry.is_dir()]
