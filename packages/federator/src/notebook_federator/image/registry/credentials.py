"""Who the caller is at a registry: Docker's and Podman's files of credentials, and credential helpers."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbfed_site.contracts import SettingsInvalid

from .reference import DOCKER_HUB

HUB_KEY = "https://index.docker.io/v1/"
HELPER_SECONDS = 30
_HUB_HOSTS = frozenset({"index.docker.io", "registry-1.docker.io", DOCKER_HUB})
_TOKEN_USER = "<token>"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with a password, or a token; ``source`` says for people where it was found."""

    source: str
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """The value of an ``Authorization`` header (RFC 7617)."""
        joined = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(joined).decode()


def find(registry: str, environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """The credentials for ``host[:port]``: from Docker's ``config.json``, else Podman's ``auth.json``.

    In one file a helper of this registry (``credHelpers``) comes first, then ``credsStore``, then ``auths``,
    whose keys may have a scheme and a path. None where nobody is logged in.

    Raises:
        SettingsInvalid: a file is not JSON.
    """
    for path in _files(environment):
        settings = _read(path)
        found = _from_helpers(settings, registry, environment) or _from_file(settings, registry, path)
        if found:
            return found
    return None


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path.home()
    folder = environment.get("DOCKER_CONFIG")
    yield (Path(folder) if folder else home / ".docker") / "config.json"
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
        return
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError:
        return {}
    except ValueError as error:
        raise _unreadable(path) from error
    if not isinstance(found, dict):
        raise _unreadable(path)
    return found


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _unreadable(path: Path) -> SettingsInvalid:
    hint = "mend it, or move it away and log in again"
    return SettingsInvalid("a file of registry credentials is not a JSON object", where=str(path), hint=hint)


def _from_helpers(
    settings: Mapping[str, Any], registry: str, environment: Mapping[str, str]
) -> Credentials | None:
    helpers = _mapping(settings.get("credHelpers"))
    named = next((name for key, name in helpers.items() if _is_key(key, registry)), None)
    for name in (named, settings.get("credsStore")):
        if name and (found := _from_helper(str(name), registry, environment)):
            return found
    return None


def _from_helper(name: str, registry: str, environment: Mapping[str, str]) -> Credentials | None:
    """Docker's protocol of credential helpers: the server on stdin, JSON on stdout."""
    import shutil
    import subprocess

    program = shutil.which(f"docker-credential-{name}", path=environment.get("PATH"))
    if program is None or "/" in name or "\\" in name:
        return None
    server = HUB_KEY if registry == DOCKER_HUB else registry
    try:
        ran = subprocess.run(
            [program, "get"],
            input=server.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=HELPER_SECONDS,
            env=dict(environment),
            check=False,
        )
        found = json.loads(ran.stdout) if ran.returncode == 0 else {}
        username, secret = str(found.get("Username", "")), str(found.get("Secret", ""))
    except (OSError, subprocess.TimeoutExpired, ValueError, AttributeError):
        return None
    source = f"docker-credential-{name}"
    if not secret:
        return None
    if username == _TOKEN_USER:
        return Credentials(source, identity_token=secret)
    return Credentials(source, username, secret)


def _from_file(settings: Mapping[str, Any], registry: str, path: Path) -> Credentials | None:
    entries = _mapping(settings.get("auths"))
    for key in sorted(entries, key=lambda key: (key != registry, key.count("/"), key)):
        if _is_key(key, registry) and (found := _entry(_mapping(entries[key]), str(path))):
            return found
    return None


def _entry(entry: Mapping[str, Any], source: str) -> Credentials | None:
    username, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    password = password.rstrip("\0")
    identity, token = str(entry.get("identitytoken", "")), str(entry.get("registrytoken", ""))
    if identity or token or (username and password):
        return Credentials(source, username, password, identity, token)
    return None


def _is_key(key: str, registry: str) -> bool:
    """Whether a key such as ``https://HOST/v1/`` or ``HOST`` means this registry."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0].lower()
    return host == registry or (registry == DOCKER_HUB and host in _HUB_HOSTS)
