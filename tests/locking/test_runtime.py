"""What the images need whatever the notebook says: nothing is forgotten, nothing is too much."""

import ast
import sys
from importlib import metadata
from pathlib import Path

import notebook_federator
import pytest
from notebook_federator.locking.runtime import SERVER_ROOMS, normalised, runtime_requirements

ROOT = Path(notebook_federator.__file__).parent


def imported() -> set[str]:
    """Top-level modules that the server's rooms import at all, from outside the standard library."""
    found: set[str] = set()
    for room in SERVER_ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"nbfed_site", "notebook_federator"}


def closure(lines: tuple[str, ...]) -> set[str]:
    """Names of all distributions that ``lines`` bring in, as installed here."""
    found: set[str] = set()
    waiting = [normalised(line) for line in lines]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            try:
                needed = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            waiting += [normalised(line) for line in needed if "extra ==" not in line]
    return found


def test_the_server_image_has_what_its_rooms_import() -> None:
    providers = metadata.packages_distributions()
    brought = closure(runtime_requirements("server"))
    missing = {m for m in imported() if not brought & {normalised(name) for name in providers[m]}}
    assert missing == set()


def test_the_server_has_all_that_a_site_has() -> None:
    assert set(runtime_requirements("client")) <= set(runtime_requirements("server"))


@pytest.mark.parametrize("name", ["torch", "matplotlib", "nbformat", "cyclonedx-python-lib", "ruff"])
def test_the_images_carry_nothing_of_the_authors_side(name: str) -> None:
    assert name not in closure(runtime_requirements("server"))


def test_requirements_are_those_that_python_s_own_reader_finds() -> None:
    found = [line for line in metadata.requires("nbfed-site") or [] if "extra ==" not in line]
    assert runtime_requirements("client") == tuple(sorted(found))


def test_flower_is_pinned_and_names_are_plain() -> None:
    lines = runtime_requirements("client")
    assert any(line.startswith("flwr==1.") for line in lines)
    assert list(lines) == sorted(set(lines))
    assert normalised("Typing_Extensions[x]>=4") == "typing-extensions"
