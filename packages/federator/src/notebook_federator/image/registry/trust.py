"""Which certificates of authorities a registry's own certificate may come from, beyond the system's."""

from __future__ import annotations

import os
from pathlib import Path

from nbfed_site.contracts import SettingsInvalid


def trusted(host: str, root_certificates: Path | None) -> Path | None:
    """The file of further root certificates (PEM) for ``host[:port]``; the given one comes first.

    Else ``HOST/*.crt`` in the folders where Docker and Podman look: ``/etc/docker/certs.d``,
    ``/etc/containers/certs.d``, and ``docker/certs.d`` and ``containers/certs.d`` below ``~/.config``.

    Raises:
        SettingsInvalid: the given file is missing or holds no certificate.
    """
    if root_certificates is not None:
        _check(root_certificates)
        return root_certificates
    for folder in _folders():
        found = sorted((folder / host).glob("*.crt")) if (folder / host).is_dir() else []
        if found:
            return found[0]
    return None


def _folders() -> tuple[Path, ...]:
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (own / "containers", own / "docker", Path("/etc/containers"), Path("/etc/docker"))
    return tuple(place / "certs.d" for place in places)


def _check(path: Path) -> None:
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            "the file of root certificates cannot be used",
            where=str(path),
            hint=f"it must hold certificates in PEM format ({error})",
        ) from error
