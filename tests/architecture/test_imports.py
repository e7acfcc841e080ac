"""Who may import whom: the directions between rooms, held over the syntax trees."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "packages"
SITE = ROOT / "site/src/nbfed_site"
FEDERATOR = ROOT / "federator/src/notebook_federator"

SITE_ROOMS = {
    "contracts": set(),
    "arrays": {"contracts"},
    "release": {"contracts"},
    "keys": {"contracts"},
    "certificates": {"contracts"},
    "kit": {"contracts", "keys", "certificates"},
    "receipts": {"contracts", "keys"},
    "program": {"contracts", "arrays"},
    "imagesize": set(),
    "fit": {"contracts", "imagesize"},
    "worker": {"contracts", "arrays", "program", "release", "receipts", "fit"},
    "link": {"contracts", "arrays", "keys", "certificates", "kit"},
    "options": {"contracts"},
    "scratch": {"contracts"},
    "events": {"contracts"},
    "settings": {"contracts", "options", "scratch", "kit"},
    "enrolling": {"contracts", "events", "keys", "kit", "certificates", "receipts", "scratch", "link"},
    "up": {"contracts", "events", "settings", "program", "receipts", "worker", "enrolling", "link"},
    "machine": {"contracts", "scratch", "link"},
    "consulting": {"contracts", "scratch", "kit", "certificates", "machine", "link"},
    "doctor": {
        *("contracts", "options", "scratch", "settings", "kit", "keys", "receipts", "enrolling", "fit"),
        *("program", "machine", "consulting"),
    },
    "__main__": {
        *("contracts", "options", "scratch", "events", "settings", "kit", "enrolling"),
        *("up", "doctor", "program", "link"),
    },
}
FEDERATOR_ROOMS = {
    "notebook": set(),
    "analysis": {"notebook"},
    "findings": {"notebook", "analysis"},
    "slicing": {"notebook", "analysis"},
    "drafting": {"slicing"},
    "templates": set(),
    "sitedata": set(),
    "aggregation": set(),
    "rounds": {"aggregation"},
    "ledger": set(),
    "federation": {"aggregation", "ledger", "rounds"},
    "report": {"federation", "ledger"},
    "locking": set(),
    "image": {"locking"},
    "kits": {"federation", "ledger", "image"},
}
SITE_ONLY_CONTRACTS = {
    *(
        "notebook",
        "analysis",
        "findings",
        "slicing",
        "drafting",
        "locking",
        "image",
        "ledger",
        "report",
        "aggregation",
    ),
}
ONLY_HERE = {
    "flwr": {"site/link", "federator/rounds"},
    "nbformat": {"federator/notebook", "federator/templates"},
    "torch": {"site/arrays", "site/program"},
    "urllib3": {"federator/image"},
    "cyclonedx": {"federator/image"},
}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module is None:
                yield from ((alias.name, node.level) for alias in node.names)
            else:
                yield node.module, node.level


def room_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).parts
    return parts[0].removesuffix(".py")


def absolute(path: Path, root: Path, module: str, level: int) -> str:
    """The imported module as a dotted path from the package's name."""
    if level == 0:
        return module
    package = [root.name, *path.relative_to(root).parts[:-1]]
    return ".".join([*package[: len(package) - level + 1], module])


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def edges(root: Path) -> Iterator[tuple[Path, str, str]]:
    for path in files(root):
        for module, level in imports(path):
            yield path, room_of(path, root), absolute(path, root, module, level)


@pytest.mark.parametrize(("root", "rooms"), [(SITE, SITE_ROOMS), (FEDERATOR, FEDERATOR_ROOMS)])
def test_rooms_import_only_what_they_may(root: Path, rooms: dict[str, set[str]]) -> None:
    wrong = []
    for path, room, module in edges(root):
        parts = module.split(".")
        if room in rooms and parts[0] == root.name and len(parts) > 1:
            target = parts[1]
            if target not in {room, "__version__", *rooms[room]}:
                wrong.append(f"{path.relative_to(root)} imports {module}")
    assert wrong == []


def test_every_room_of_the_site_is_known() -> None:
    assert {room_of(path, SITE) for path in files(SITE)} - {"__init__"} <= SITE_ROOMS.keys()


def test_the_site_never_imports_the_federator() -> None:
    assert [str(path) for path, _, module in edges(SITE) if module.startswith("notebook_federator")] == []


def test_author_and_server_rooms_meet_in_contracts_only() -> None:
    wrong = [
        f"{path.name}: {module}"
        for path, room, module in edges(FEDERATOR)
        if room in SITE_ONLY_CONTRACTS
        and module.startswith("nbfed_site")
        and not module.startswith("nbfed_site.contracts")
    ]
    assert wrong == []


def test_contracts_use_the_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "nbfed_site", "numpy"}
    wrong = [
        f"{path.name}: {module}"
        for path, room, module in edges(SITE)
        if room == "contracts" and module.split(".")[0] not in allowed
    ]
    assert wrong == []
    typing_only = [
        path.name for path, room, module in edges(SITE) if room == "contracts" and "numpy" in module
    ]
    assert set(typing_only) == {"model.py"}


@pytest.mark.parametrize("library", sorted(ONLY_HERE))
def test_a_library_is_touched_in_its_rooms_only(library: str) -> None:
    found = {
        f"{name}/{room}"
        for root, name in ((SITE, "site"), (FEDERATOR, "federator"))
        for _, room, module in edges(root)
        if module.split(".")[0] == library
    }
    assert found <= ONLY_HERE[library]


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [
                ast.Pass(lineno=node.body[0].lineno, end_lineno=node.body[0].lineno)
            ]
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt):
            found.update((node.lineno, node.end_lineno or node.lineno))
    return len(found)


# what an operator types, and what it answers
COMMANDS = {"__main__.py", "options.py", "doctor.py", "machine.py", "consulting.py"}


def test_the_site_package_stays_small_enough_to_read() -> None:
    """Whatever touches data, model, network or key; and apart from that, the operator's commands."""
    sizes = {path.relative_to(SITE).as_posix(): code_lines(path) for path in files(SITE)}
    commands = sum(sizes.pop(name) for name in COMMANDS)
    assert sum(sizes.values()) <= 3461
    assert commands <= 448


def test_names_that_say_nothing_are_not_used() -> None:
    banned = {"utils", "common", "helpers", "manager", "base"}
    assert [str(path) for root in (SITE, FEDERATOR) for path in files(root) if path.stem in banned] == []


def test_both_packages_have_one_version() -> None:
    import nbfed_site
    import notebook_federator

    texts = [(ROOT / name / "pyproject.toml").read_text() for name in ("site", "federator")]
    assert nbfed_site.__version__ == notebook_federator.__version__
    assert all(f'\nversion = "{nbfed_site.__version__}"\n' in text for text in texts)
    assert f'"nbfed-site=={nbfed_site.__version__}"' in texts[1]
