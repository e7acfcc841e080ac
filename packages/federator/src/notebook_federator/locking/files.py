"""Locks on disk: pylock.toml files (PEP 751), with a ``[tool.nbfed]`` table for what the standard lacks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from nbfed_site.contracts import StorageFull

from .errors import LockMismatch
from .shapes import Lock, LockedWheel, Needs, Role, Target

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
"""The platforms that images are made for, and how Python names their machines."""
_FORMAT = 1
_ROLES: tuple[Role, ...] = ("server", "client")
_WHEEL = re.compile(r"[A-Za-z0-9_.+!-]+\.whl")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = "Delete the file and build again, or get the lock that belongs to the notebook."


def path_beside(notebook: Path) -> Path:
    """Where a notebook's lock lies: ``pylock.NAME.toml`` (PEP 751 allows no dot in NAME)."""
    return notebook.with_name(f"pylock.{notebook.stem.replace('.', '-') or 'notebook'}.toml")


def read(path: Path) -> Lock:
    """The lock in a file; wheels beside it are given as ``file://`` URLs of this machine.

    Raises:
        LockMismatch: there is none, or it is damaged or was not written by Notebook Federator.
    """
    import tomllib

    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        return _lock(plain, path.absolute().parent)
    except FileNotFoundError:
        raise LockMismatch("There is no lock.", where=str(path), hint="Build once to make it.") from None
    except OSError as error:
        what = f"The lock cannot be read: {error.strerror}."
        raise LockMismatch(what, where=str(path), hint="Make the file readable.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        what = f"The file is not a lock of Notebook Federator: {missing}."
        raise LockMismatch(what, where=str(path), hint=_HINT) from error


def write(lock: Lock, path: Path) -> None:
    """Write a lock in one step: equal locks give equal bytes, and readers never see half a file.

    Raises:
        StorageFull: the file cannot be written.
    """
    import tomli_w

    data = tomli_w.dumps(_plain(lock, path.absolute().parent)).encode()
    making = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        making.write_bytes(data)
        making.replace(path)
    except OSError as error:
        making.unlink(missing_ok=True)
        what = f"The lock cannot be written: {error.strerror}."
        hint = "Free some space or make the folder writable, or name another file with --lock."
        raise StorageFull(what, where=str(path), hint=hint) from error


def local_path(url: str) -> Path | None:
    """The path of a ``file://`` URL; None for other URLs."""
    if url[:5].lower() != "file:":
        return None
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path))


def _plain(lock: Lock, folder: Path) -> dict[str, Any]:
    target = lock.target
    machine = MACHINES[target.platform]
    return {
        "lock-version": "1.0",
        "environments": [f"sys_platform == 'linux' and platform_machine == '{machine}'"],
        "requires-python": f"=={target.python}.*",
        "created-by": "notebook-federator",
        "packages": [
            {"name": wheel.name, "version": wheel.version, "wheels": [_plain_wheel(wheel, folder)]}
            for wheel in lock.packages
        ],
        "tool": {
            "nbfed": {
                "format": _FORMAT,
                "python": target.python,
                "platform": target.platform,
                "torch": target.torch,
                "base": target.base,
                "notebook-digest": lock.needs.notebook_digest,
                "slice-digest": lock.needs.slice_digest,
                "requirements": _listed(lock.needs.requirements),
                "roles": _listed(lock.roles),
            }
        },
    }


def _plain_wheel(wheel: LockedWheel, folder: Path) -> dict[str, Any]:
    """A wheel under the lock's own folder is named from there, so that the folder can move."""
    path = local_path(wheel.url)
    beside = path is not None and path.is_relative_to(folder)
    place = {"path": path.relative_to(folder).as_posix()} if path and beside else {"url": wheel.url}
    return {"name": wheel.filename, **place, "size": wheel.size, "hashes": {"sha256": wheel.sha256}}


def _listed(found: Mapping[Role, tuple[str, ...]]) -> dict[str, list[str]]:
    return {role: list(found[role]) for role in sorted(found)}


def _lock(plain: dict[str, Any], folder: Path) -> Lock:
    own = plain["tool"]["nbfed"]
    if own["format"] != _FORMAT or str(plain["lock-version"]).partition(".")[0] != "1":
        raise ValueError("it was written by another version")
    target = Target(*(_text(own[key]) for key in ("python", "platform", "torch", "base")))
    if target.platform not in MACHINES:
        raise ValueError(f"platform {target.platform} is not known")
    requirements = {role: _lines(own["requirements"][role]) for role in _ROLES}
    needs = Needs(requirements, _text(own["notebook-digest"]), _text(own["slice-digest"]))
    packages = tuple(sorted((_wheel(each, folder) for each in plain["packages"]), key=lambda w: w.name))
    names = {wheel.name for wheel in packages}
    roles = {role: tuple(sorted(_lines(own["roles"][role]))) for role in _ROLES}
    if len(names) != len(packages) or not names.issuperset(sum(roles.values(), ())):
        raise ValueError("its packages and roles do not go together")
    return Lock(target, needs, packages, roles)


def _wheel(package: dict[str, Any], folder: Path) -> LockedWheel:
    (found,) = package["wheels"]
    url = found["url"] if "url" in found else folder.joinpath(_text(found["path"])).as_uri()
    filename = found.get("name") or unquote(urlsplit(_text(url)).path).rpartition("/")[2]
    sha256, size = _text(found["hashes"]["sha256"]), found["size"]
    if not _WHEEL.fullmatch(filename) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"{filename!r} is no wheel with a SHA-256")
    if type(size) is not int or size < 0 or urlsplit(_text(url)).scheme not in ("https", "http", "file"):
        raise ValueError(f"size or place of {filename} makes no sense")
    return LockedWheel(_text(package["name"]), _text(package["version"]), filename, url, sha256, size)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} stands where a text should")
    return value


def _lines(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} stands where a list should")
    return tuple(_text(value) for value in values)
