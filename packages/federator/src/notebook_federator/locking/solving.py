"""One question to the resolver: `uv pip compile`, and its answer as wheels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from nbfed_site.contracts import NbfedError, SettingsInvalid

from .choosing import best
from .complaints import error_of
from .errors import LockUnsolvable, source_only
from .files import MACHINES
from .runtime import normalised
from .shapes import LockedWheel, Target
from .sources import Settings

GLIBC = 28
"""The images' C library is at least version 2.28: wheels up to manylinux_2_28 run there."""
UNKNOWN_SIZE = -1


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be resolved.

    Attributes:
        requirements, constraints: lines as pip reads them (PEP 508).
        preferred: versions by name, taken wherever nothing speaks against them.
        backend: `uv`'s torch backend; empty to take torch from where all else comes from.
    """

    requirements: tuple[str, ...]
    target: Target
    settings: Settings
    constraints: tuple[str, ...] = ()
    preferred: Mapping[str, str] = field(default_factory=dict)
    backend: str = ""


def solve(question: Question) -> tuple[LockedWheel, ...]:
    """One wheel for each distribution, sorted by name.

    Sizes that `uv` does not tell are :data:`UNKNOWN_SIZE`. Nothing is built and no code of a package runs.

    Raises:
        LockUnsolvable, IndexUnreachable, SettingsInvalid: as `uv`'s own message says.
    """
    import tomllib

    with _folder() as folder:
        answer = folder / "pylock.toml"
        _write_preferred(question.preferred, answer)
        _ask(question, folder, "--format=pylock.toml", f"--output-file={answer}")
        plain = tomllib.loads(answer.read_text(encoding="utf-8"))
    wheels = (_wheel(package, question.target) for package in plain.get("packages", ()))
    return tuple(sorted(wheels, key=lambda wheel: wheel.name))


def names(question: Question) -> tuple[str, ...]:
    """The normalised names that the answer holds, sorted; from `uv`'s cache where that is enough.

    Raises: as :func:`solve`.
    """
    plain = ("--format=requirements.txt", "--no-annotate")
    with _folder() as folder:
        try:
            text = _ask(question, folder, *plain, "--offline")
        except NbfedError:
            text = _ask(question, folder, *plain)
    return tuple(sorted(normalised(line) for line in text.splitlines() if line[:1].isalnum()))


@contextmanager
def _folder() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="nbfed-lock-") as name:
        yield Path(name)


def _write_preferred(preferred: Mapping[str, str], answer: Path) -> None:
    """`uv` takes the versions in an output file that is there already as preferences."""
    import tomli_w

    known = [{"name": name, "version": version} for name, version in sorted(preferred.items())]
    if known:
        head = {"lock-version": "1.0", "created-by": "notebook-federator", "packages": known}
        answer.write_text(tomli_w.dumps(head), encoding="utf-8")


def _ask(question: Question, folder: Path, *more: str) -> str:
    """Run `uv pip compile` in its strictest form; what it prints."""
    import subprocess
    import sys

    target, required, fixed = question.target, folder / "requirements.in", folder / "constraints.txt"
    required.write_text("\n".join(question.requirements) + "\n", encoding="utf-8")
    fixed.write_text("\n".join(question.constraints) + "\n", encoding="utf-8")
    command = [
        *(_uv(), "pip", "compile", "--quiet", "--color=never", "--no-progress", "--no-header"),
        *("--only-binary=:all:", "--no-python-downloads", f"--python={sys.executable}"),
        f"--python-version={target.python}",
        f"--python-platform={MACHINES[target.platform]}-manylinux_2_{GLIBC}",
        f"--constraints={fixed}",
        *question.settings.arguments(),
        *([f"--torch-backend={question.backend}"] if question.backend else []),
        *(*more, str(required)),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "UV_TORCH_BACKEND"}
    environment |= question.settings.environment
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        raise error_of(done.stderr, question.requirements, target)
    return done.stdout


def _uv() -> str:
    import shutil

    try:
        import uv

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        hint = "Install it beside Notebook Federator: `pip install uv`."
        raise SettingsInvalid("The resolver uv is not installed.", hint=hint)
    return found


def _wheel(package: dict[str, Any], target: Target) -> LockedWheel:
    """The wheel of one package in `uv`'s answer; a requirement by URL stands there as an ``archive``."""
    name, version = package["name"], package.get("version", "")
    found = list(package.get("wheels", ()))
    archive = package.get("archive")
    if archive and str(archive.get("url", archive.get("path"))).endswith(".whl"):
        found.append(archive)
    if not found:
        what = f"{name} is asked for as source code, but only wheels go into images."
        raise source_only(name, what)
    wheels = [_read(name, version, each) for each in found]
    return wheels[0] if len(wheels) == 1 else best(wheels, target)


def _read(name: str, version: str, found: dict[str, Any]) -> LockedWheel:
    url = found["url"] if "url" in found else Path(os.path.abspath(found["path"])).as_uri()
    filename = found.get("name") or unquote(urlsplit(url).path).rpartition("/")[2]
    sha256 = found.get("hashes", {}).get("sha256", "")
    if not sha256:
        what = f"The index gives no SHA-256 for {filename}."
        hint = "Use an index that does, or download the wheel and give its folder with --wheels."
        raise LockUnsolvable(what, where=url, hint=hint, kind="no wheel", distributions=(name,))
    return LockedWheel(
        name, version or filename.split("-")[1], filename, url, sha256, found.get("size", UNKNOWN_SIZE)
    )
