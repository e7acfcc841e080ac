"""Compose files that run a site: as closed as the image allows, on CPU or on NVIDIA devices."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbfed_site.contracts import BadInput

_SITE = """# One site of a federation. Needs Docker Compose 1.29 or later, or the compose plugin.
#
#   docker compose@files@ run --rm site key       prints the line that the coordinator needs
#   docker compose@files@ run --rm site doctor    looks for whatever could keep the site from training
#   docker compose@files@ up --detach
#
# Settings, from the environment or a file .env beside this one:
#   NBFED_SERVER   address of the coordinator's server, https://HOST:PORT
#   NBFED_SITE     name of this site
#   NBFED_CA       file with the certificate of the server's authority
#   NBFED_DATA     folder with this site's data; the container can only read it
#   NBFED_USER     UID:GID that may read the data (default @user@); needs no account in the image
#   NBFED_SHM      shared memory for data loaders (default @shm@)
# The container opens no port. It can write to the volume "scratch" alone.
services:
  site:
    image: @image@
    command: @command@
    user: ${NBFED_USER:-@user@}
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    pids_limit: 4096
    shm_size: ${NBFED_SHM:-@shm@}
    init: true
    restart: unless-stopped
    stop_grace_period: 1m
    environment:@environment@
    volumes:
      - type: bind
        source: ${NBFED_DATA:?set NBFED_DATA to the folder with the data of this site}
        target: /data
        read_only: true
      - type: bind
        source: ${NBFED_CA:?set NBFED_CA to the file with the certificate of the authority}
        target: @authority@
        read_only: true
      - type: volume
        source: scratch
        target: /scratch
    healthcheck:
      test: @healthy@
      interval: 30s
      timeout: 10s
      start_period: 1m
      retries: 3
volumes:
  scratch: {}
"""

_GPU = """# Beside compose.yml, on a machine with NVIDIA devices and the NVIDIA Container Toolkit. On any
# other machine Compose refuses to start it, which is why it is a file of its own.
#
#   docker compose -f compose.yml -f compose.gpu.yml up --detach
services:
  site:
    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              count: @count@
              capabilities: [gpu]
"""

_AUTHORITY = "/run/nbfed/authority.pem"  # in the container
_OPERATORS = {
    "NBFED_SERVER": "${NBFED_SERVER:?set NBFED_SERVER to the address of the server, https://HOST:PORT}",
    "NBFED_SITE": "${NBFED_SITE:?set NBFED_SITE to the name of this site}",
}


@dataclass(frozen=True, slots=True)
class Site:
    """How one site's container is run.

    Attributes:
        image: the client image by digest: ``registry/repository@sha256:...``, with or without a tag.
        command: what follows the image's entry point.
        healthy: the whole command of the health check.
        environment: more variables by name, or other values for ``NBFED_SERVER`` and ``NBFED_SITE``, which
            the operator gives otherwise; ``None`` takes the operator's own value, if there is one.
        gpus: NVIDIA devices to reserve: a count, or ``"all"``; 0 without.
        user: ``UID:GID``. shared_memory: size as Compose writes it, ``2g``.
    """

    image: str
    command: Sequence[str] = ("up",)
    healthy: Sequence[str] = ("/app/venv/bin/python3", "-I", "-m", "nbfed_site", "healthy")
    environment: Mapping[str, str | None] = field(default_factory=dict)
    gpus: int | str = 0
    user: str = "65532:65532"
    shared_memory: str = "2g"


def files(site: Site) -> dict[str, bytes]:
    """File name -> bytes (Compose specification): ``compose.yml``, and ``compose.gpu.yml`` with devices.

    Raises:
        BadInput: the image is not named by its digest.
    """
    if not re.search(r"@sha256:[0-9a-f]{64}$", site.image):
        raise BadInput(
            f"The image {site.image!r} is not named by its digest.",
            hint="Use the reference that nbfed build printed: NAME@sha256:...",
        )
    values = {
        "files": " -f compose.yml -f compose.gpu.yml" if site.gpus else "",
        "image": _text(site.image),
        "command": _words(site.command),
        "healthy": _words(["CMD", *site.healthy]),
        "environment": _environment(site.environment),
        "authority": _AUTHORITY,
        "user": site.user,
        "shm": site.shared_memory,
        "count": str(site.gpus),
    }
    found = {"compose.yml": _filled(_SITE, values)}
    return found | ({"compose.gpu.yml": _filled(_GPU, values)} if site.gpus else {})


def _filled(template: str, values: Mapping[str, str]) -> bytes:
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], template).encode()


def _environment(variables: Mapping[str, str | None]) -> str:
    given = {name: "null" if value is None else _text(value) for name, value in variables.items()}
    lines = _OPERATORS | {"NBFED_CA": _AUTHORITY} | given
    return "".join(f"\n      {name}: {value}" for name, value in lines.items())


def _words(command: Sequence[str]) -> str:
    return "[" + ", ".join(_text(word) for word in command) + "]"


def _text(value: str) -> str:
    """A YAML double-quoted scalar in which Compose interpolates nothing."""
    return json.dumps(value.replace("$", "$$"), ensure_ascii=False)
